// What transformers makes of the files is tested by hugging_face_oracle.py.
#include "fathom/hugging_face/hugging_face.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "hugging_face/config_texts.h"
#include "hugging_face/fields_json.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

using testing::HasSubstr;

/// A config whose every value differs from its default.
ModelConfig unusual_model() {
  ModelConfig model;
  model.hidden_size = 96;
  model.intermediate_size = 160;
  model.num_hidden_layers = 3;
  model.num_attention_heads = 6;
  model.num_key_value_heads = 2;
  model.head_dim = 32;
  model.vocab_size = 1234;
  model.rms_norm_eps = 1e-5;
  model.rope_theta = 123456.789;
  model.rope_scaling = {"llama3", 8.5, 1.25, 4.5, 512, 31.5, 1.5, 1.2, 0.7, 0.9, false};
  model.tie_word_embeddings = true;
  model.attention_bias = true;
  model.attention_output_bias = false;
  model.qk_norm = "head";
  model.max_position_embeddings = 4096;
  model.initializer_range = 0.1;
  model.norm.placement = "lns x2, mix x1";
  model.norm.exponent = 0.3;
  model.norm.position = "before_norm";
  model.norm.sublayers = "attention";
  model.norm.post_layers = 2;
  model.norm.final_norm = "off";
  model.init = {"scaled", 1.0 / 3.0};
  return model;
}

/// Every key, also those that a test of its own doesn't name.
void expect_equal(const ModelConfig& a, const ModelConfig& b) {
  const auto values = [](ModelConfig model) {
    Fields fields(kChoices);
    fields.section("model", model);
    return fields_to_json(fields, "model");
  };
  EXPECT_EQ(values(a), values(b));
}

TEST(ConfigJson, BringsBackEveryKeyOfTheModelExactly) {
  for (const bool plain : {true, false}) {
    for (const bool folded : {true, false}) {
      ModelDescription description =
          described(unusual_model(), plain ? ModelForm::pre_with_head_norms : ModelForm::other);
      description.norm_scale_folded = folded;
      const SavedModelConfig saved = read(config_json(description, kChoices));
      expect_equal(saved.model, description.model);
      EXPECT_EQ(saved.norm_scale_folded, folded);
    }
  }
  expect_equal(read(config_json(described(ModelConfig(), ModelForm::other), kChoices)).model,
               ModelConfig());
}

TEST(ConfigJson, CallsAPlainModelALlamaWithBothGenerationsOfKeys) {
  ModelConfig model;
  model.rope_scaling.rope_type = "llama3";
  model.rope_scaling.factor = 8;
  model.rope_scaling.original_max_position_embeddings = 8192;
  ModelDescription description = described(model, ModelForm::pre);
  description.tokens.bos = 1;
  description.tokens.eos = {2};
  description.norm_scale_folded = true;
  const Json config = Json::parse(config_json(description, kChoices));
  EXPECT_EQ(config["architectures"], Json::parse(R"(["LlamaForCausalLM"])"));
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["num_key_value_heads"], 12);
  EXPECT_EQ(config["head_dim"], 64);
  EXPECT_EQ(config["hidden_act"], "silu");
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["rope_scaling"].size(), 5U);
  EXPECT_EQ(config["rope_parameters"]["factor"], 8.0);
  EXPECT_EQ(config["rope_parameters"]["rope_theta"], 10000.0);
  EXPECT_EQ(config["bos_token_id"], 1);
  EXPECT_EQ(config["eos_token_id"], 2);
  EXPECT_TRUE(config["pad_token_id"].is_null());
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_EQ(config["dtype"], "float32");
  EXPECT_EQ(config["fathom"]["norm_scale"], "folded");
}

TEST(ConfigJson, WritesOnlyTheRopeKeysThatHaveAnEffect) {
  ModelConfig model;
  const auto rope_of = [&](const char* type) {
    model.rope_scaling.rope_type = type;
    return Json::parse(config_json(described(model, ModelForm::pre), kChoices))["rope_scaling"];
  };
  EXPECT_TRUE(rope_of("default").is_null());
  EXPECT_EQ(rope_of("linear"), Json::parse(R"({"rope_type": "linear", "factor": 1.0})"));
}

TEST(ConfigJson, CallsAPlainModelWithQueryAndKeyNormsAQwen3) {
  ModelConfig model;
  model.qk_norm = "head";
  const Json config =
      Json::parse(config_json(described(model, ModelForm::pre_with_head_norms), kChoices));
  EXPECT_EQ(config["architectures"][0], "Qwen3ForCausalLM");
  EXPECT_EQ(config["model_type"], "qwen3");
  EXPECT_EQ(config["use_sliding_window"], false);
}

TEST(ConfigJson, KeepsTheArchitectureThatAModelCameAsWhereItIsStillOne) {
  ModelConfig model;
  const auto type_of = [&](const char* preferred) {
    ModelDescription description = described(model, ModelForm::pre);
    description.model_type = preferred;
    return Json::parse(config_json(description, kChoices))["model_type"];
  };
  EXPECT_EQ(type_of(""), "llama");
  EXPECT_EQ(type_of("mistral"), "mistral");
  model.attention_bias = true;
  EXPECT_EQ(type_of("mistral"), "llama");
  model.attention_output_bias = false;
  EXPECT_EQ(type_of("llama"), "qwen2");
  const auto form_type = [&](ModelForm form) {
    return Json::parse(config_json(described(model, form), kChoices))["model_type"];
  };
  EXPECT_EQ(form_type(ModelForm::pre_with_head_norms), "fathom");  // none has both
  model.attention_bias = false;
  EXPECT_EQ(form_type(ModelForm::reordered), "olmo2");
}

TEST(ConfigJson, NeverCallsAnotherModelALlama) {
  const Json config =
      Json::parse(config_json(described(ModelConfig(), ModelForm::other), kChoices));
  EXPECT_EQ(config["architectures"][0], "FathomForCausalLM");
  EXPECT_EQ(config["model_type"], "fathom");
  EXPECT_EQ(config["auto_map"]["AutoModelForCausalLM"], "modeling_fathom.FathomForCausalLM");
}

TEST(GenerationConfigJson, NamesTheTokensThatThereAre) {
  EXPECT_EQ(Json::parse(generation_config_json({1, {2}, 0})),
            Json::parse(R"({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})"));
  EXPECT_EQ(Json::parse(generation_config_json({1, {2, 3}, {}}))["eos_token_id"],
            Json::parse("[2, 3]"));
  EXPECT_EQ(Json::parse(generation_config_json({})), Json::object());
}

TEST(ReadModelConfig, ReadsAPlainLlamaWithTransformersDefaults) {
  const ModelConfig model = read(kLlama.dump()).model;
  EXPECT_EQ(model.hidden_size, 64);
  EXPECT_EQ(model.num_hidden_layers, 2);
  EXPECT_EQ(model.key_value_heads(), 4);
  EXPECT_EQ(model.head_size(), 16);
  EXPECT_EQ(model.rope_theta, 10000.0);
  EXPECT_EQ(model.rms_norm_eps, 1e-6);
  EXPECT_EQ(model.norm.placement, "pre");
  EXPECT_FALSE(model.tie_word_embeddings);
  EXPECT_FALSE(read(kLlama.dump()).norm_scale_folded);
}

TEST(ReadModelConfig, ReadsTheRopeKeysOfBothGenerations) {
  const Json v4 = Json::parse(R"({"type": "linear", "factor": 2})");
  EXPECT_EQ(read(llama_with("rope_scaling", v4).dump()).model.rope_scaling.factor, 2.0);
  const Json v5 = Json::parse(R"({"rope_type": "default", "rope_theta": 500000})");
  EXPECT_EQ(read(llama_with("rope_parameters", v5).dump()).model.rope_theta, 500000.0);
  EXPECT_EQ(read(llama_with("rope_theta", 250).dump()).model.rope_theta, 250.0);
}

TEST(ReadModelConfig, ReadsTheReleasedConfigsOfTheLnsPaper) {
  Json config = llama_with("architectures", {"LLaMAForCausalLM"});
  config["max_sequence_length"] = 1024;
  config["pad_token_id"] = -1;
  EXPECT_EQ(read(config.dump()).model.max_position_embeddings, 1024);
}

TEST(ReadModelConfig, ReadsAQwen3) {
  Json config = llama_with("model_type", "qwen3");
  config["architectures"] = {"Qwen3ForCausalLM"};
  config["layer_types"] = {"full_attention", "full_attention"};
  config["num_key_value_heads"] = 4;
  config["use_sliding_window"] = false;
  config["sliding_window"] = 4096;
  config["num_key_value_heads"] = 2;
  const ModelConfig model = read(config.dump()).model;
  EXPECT_EQ(model.qk_norm, "head");
  EXPECT_EQ(model.head_size(), 128);  // Qwen3Config's default, not hidden_size / heads
}

TEST(ReadModelConfig, GivesAQwen2BiasesOnAllButTheOutput) {
  Json config = llama_with("model_type", "qwen2");
  config["architectures"] = {"Qwen2ForCausalLM"};
  config["num_key_value_heads"] = 2;
  const SavedModelConfig saved = read(config.dump());
  EXPECT_TRUE(saved.model.attention_bias);
  EXPECT_FALSE(saved.model.output_bias());
  EXPECT_EQ(saved.model.max_position_embeddings, 32768);  // Qwen2Config's default
  EXPECT_EQ(saved.model_type, "qwen2");
}

TEST(ReadModelConfig, TakesOverridesForWhatAPlainConfigCantSay) {
  const TemporaryDirectory directory;
  const auto read_with = [&](const Json& config, const std::vector<Override>& overrides) {
    write_file(directory / "config.json", config.dump());
    return read_model_config(directory.path(), kChoices, overrides).model.norm.placement;
  };
  const std::vector<Override> lns = {{"model.norm.placement", "lns"}};
  EXPECT_EQ(read_with(kLlama, lns), "lns");
  const auto refused = [&](const auto& overrides) {
    return message_of<ConfigError>([&] { read_with(kLlama, overrides); });
  };
  using Overrides = std::vector<Override>;
  EXPECT_THAT(refused(Overrides{{"model.norm.placment", "lns"}}),
              HasSubstr("unknown key 'model.norm.placment'; did you mean"));
  EXPECT_THAT(refused(Overrides{{"model.norm.exponent", "1"}}), HasSubstr("has no effect"));
  const Json ours = Json::parse(config_json(described(ModelConfig(), ModelForm::pre), kChoices));
  EXPECT_THAT(message_of<CheckpointError>([&] { read_with(ours, lns); }),
              HasSubstr("has a block \"fathom\", which says all of the model"));
}

TEST(ReadModelConfig, RefusesValuesThatMakeNoModel) {
  const struct {
    std::string key;
    Json value;
    std::string reason;
  } cases[] = {
      {"hidden_size", nullptr, "hidden_size is missing"},
      {"hidden_size", 0, "model.hidden_size is 0; allowed: a whole number, at least 1"},
      {"hidden_size", -64, "model.hidden_size is -64"},
      {"hidden_size", 64.5, "model.hidden_size is 64.5; allowed: a whole number"},
      {"hidden_size", "64", "model.hidden_size is '64'; allowed: a whole number"},
      {"hidden_size", uint64_t{1} << 63, "model.hidden_size is 9223372036854775808"},
      {"hidden_size", 1'000'000'000, "at most 16777216"},
      {"hidden_size", 66, "model.hidden_size is 66, not a multiple of num_attention_heads"},
      {"num_key_value_heads", 3, "model.num_key_value_heads is 3"},
      {"tie_word_embeddings", 1, "model.tie_word_embeddings is 1; allowed: true or false"},
      {"rms_norm_eps", "1e-6", "model.rms_norm_eps is '1e-6'; allowed: a number"},
      {"head_dim", {16}, "model.head_dim is a list of 1; allowed: a whole number"},
  };
  for (const auto& bad : cases)
    EXPECT_THAT(refusal(llama_with(bad.key, bad.value)), HasSubstr(bad.reason)) << bad.key;
}

TEST(ReadModelConfig, SaysWhatIsWrongWithTheFile) {
  const TemporaryDirectory directory;
  const auto refused = [&] {
    return message_of<CheckpointError>([&] { read_model_config(directory.path(), kChoices); });
  };
  EXPECT_THAT(refused(), HasSubstr("config.json: no such file; is it a model directory?"));
  write_file(directory / "config.json", "{\n\"a\": }");
  EXPECT_THAT(refused(), HasSubstr("config.json:2: not valid JSON"));
  write_file(directory / "config.json", "[]");
  EXPECT_THAT(refused(), HasSubstr("config.json: isn't a JSON object"));
}

}  // namespace
}  // namespace fathom
