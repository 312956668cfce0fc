// What transformers makes of the same keys is tested by families_oracle.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fathom/config/context.h"
#include "hugging_face/config_texts.h"

namespace fathom {
namespace {

using testing::HasSubstr;

using Names = std::vector<std::string>;

TEST(ReadModelConfig, ReadsOverWhatTransformersDoesNotFollowAndNamesIt) {
  const auto read_over = [](const Json& config) { return read(config.dump()).read_over; };
  Json config = kLlama;
  config.update(Json::parse(R"({"bos_token_id": 1, "use_cache": false, "torch_dtype": "float16",
      "_name_or_path": "x", "initializer_range": 0.1, "temperature": 0.7, "pretraining_tp": 2,
      "sliding_window": null, "attention_dropout": 0.0, "hidden_act": "swish",
      "layer_types": ["full_attention", "full_attention"]})"));
  EXPECT_EQ(read_over(config), Names());
  config["attention_dropout"] = 0.1;
  config["sliding_window"] = 64;
  config["layer_types"][0] = "sliding_attention";
  config["logits_scaling"] = 8.0;
  config["rope_scaling"] = Json::parse(R"({"type": "mrope", "rope_type": "default",
      "mrope_section": [16, 24], "factor": 2.0})");
  EXPECT_EQ(read_over(config),
            (Names{"attention_dropout", "sliding_window", "layer_types", "logits_scaling",
                   "rope_scaling.mrope_section", "rope_scaling.factor"}));
  EXPECT_EQ(read(config.dump()).model.rope_scaling.rope_type, "default");
  config = llama_with("rope_parameters", Json::parse(R"({"rope_type": "yarn", "factor": 4.0,
      "attn_factor": 1.0, "finetuned": true, "original_max_position_embeddings": 512})"));
  EXPECT_EQ(read_over(config), (Names{"rope_parameters.attn_factor", "rope_parameters.finetuned"}));
}

TEST(ReadModelConfig, ReadsOverAPartOfTheChannelsWhereDefaultRopeRotatesAll) {
  Json config = llama_with("partial_rotary_factor", 0.5);
  EXPECT_EQ(read(config.dump()).read_over, Names{"partial_rotary_factor"});
  config["rope_parameters"] = Json::parse(R"({"partial_rotary_factor": 0.25})");
  EXPECT_EQ(read(config.dump()).read_over,
            (Names{"rope_parameters.partial_rotary_factor", "partial_rotary_factor"}));
  config["rope_parameters"] = Json::parse(R"({"rope_type": "linear", "factor": 2.0})");
  EXPECT_THAT(refusal(config), HasSubstr("partial_rotary_factor is 0.5; with rope_type linear"));
  config["rope_parameters"]["partial_rotary_factor"] = 1.0;  // it comes before the other
  EXPECT_EQ(read(config.dump()).read_over, Names{"partial_rotary_factor"});
  config["rope_parameters"]["partial_rotary_factor"] = 0.5;
  config.erase("partial_rotary_factor");
  EXPECT_THAT(refusal(config), HasSubstr("rope_parameters.partial_rotary_factor is 0.5"));
}

TEST(ReadModelConfig, TakesAFactorThatShrinksTheContext) {
  Json config =
      llama_with("rope_scaling", Json::parse(R"({"rope_type": "linear", "factor": 0.5})"));
  const ModelConfig model = read(config.dump()).model;
  EXPECT_EQ(model.rope_scaling.factor, 0.5);
  EXPECT_EQ(longest_context(model), model.max_position_embeddings);
  config["rope_scaling"]["factor"] = 0.0;
  EXPECT_THAT(refusal(config), HasSubstr("model.rope_scaling.factor is 0"));
}

TEST(ReadModelConfig, RefusesNullWhereTransformersDoes) {
  for (const char* key : {"rms_norm_eps", "hidden_act", "tie_word_embeddings", "attention_bias",
                          "mlp_bias", "max_position_embeddings", "initializer_range", "rope_theta"})
    EXPECT_THAT(refusal(llama_with(key, nullptr)),
                HasSubstr(std::string(key) + " is null; write its value, or leave the key out"));
  for (const char* key : {"num_key_value_heads", "head_dim", "rope_scaling", "rope_parameters"})
    EXPECT_EQ(refusal(llama_with(key, nullptr)), "(nothing was thrown)") << key;
}

TEST(ReadModelConfig, AsksTheKeysOfEachFamilyWhetherThereIsAWindow) {
  Json config = llama_with("model_type", "qwen2");
  config["architectures"] = {"Qwen2ForCausalLM"};
  config["sliding_window"] = 64;
  config["use_sliding_window"] = true;
  config["num_key_value_heads"] = 4;
  EXPECT_EQ(read(config.dump()).read_over, Names{"sliding_window"});  // from layer 28 on
  config["max_window_layers"] = 1;
  EXPECT_THAT(refusal(config), HasSubstr("sliding_window is 64; only full attention"));
  config["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_EQ(read(config.dump()).read_over, Names{"sliding_window"});
  config["layer_types"][1] = "sliding_attention";
  EXPECT_THAT(refusal(config), HasSubstr("sliding_window is 64"));
  config["use_sliding_window"] = false;
  EXPECT_THAT(refusal(config), HasSubstr("layer_types is \"sliding_attention\""));
  config.erase("layer_types");
  config["model_type"] = "mistral";  // it has no use_sliding_window
  config["architectures"] = {"MistralForCausalLM"};
  EXPECT_THAT(refusal(config), HasSubstr("sliding_window is 64"));
}

TEST(ReadModelConfig, FixesTheContextThatRopeWasTrainedFor) {
  const auto original = [](const Json& rope, const std::vector<Override>& overrides = {}) {
    const TemporaryDirectory directory;
    Json config = llama_with("rope_scaling", rope);
    config["max_position_embeddings"] = 256;
    if (rope.contains("beside")) config["original_max_position_embeddings"] = rope["beside"];
    write_file(directory / "config.json", config.dump());
    const ModelConfig model = read_model_config(directory.path(), kChoices, overrides).model;
    const Json again = Json::parse(config_json(described(model, ModelForm::pre), kChoices));
    EXPECT_EQ(read(again.dump()).model.original_context(), model.original_context());
    return model.original_context();
  };
  const std::vector<Override> raised = {{"model.max_position_embeddings", "1024"}};
  EXPECT_EQ(original(Json::parse(R"({"rope_type": "dynamic", "factor": 2.0})")), 256);
  EXPECT_EQ(original(Json::parse(R"({"rope_type": "dynamic", "factor": 2.0})"), raised), 256);
  EXPECT_EQ(original(Json::parse(R"({"rope_type": "yarn", "factor": 2.0})"), raised), 256);
  EXPECT_EQ(original(Json::parse(
                R"({"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64})")),
            64);
  // As transformers has it: the key beside wins, but for dynamic none does.
  EXPECT_EQ(original(Json::parse(R"({"rope_type": "yarn", "factor": 2.0, "beside": 128,
                                     "original_max_position_embeddings": 64})")),
            128);
  EXPECT_EQ(original(Json::parse(R"({"rope_type": "dynamic", "factor": 2.0,
                                     "original_max_position_embeddings": 64})")),
            256);
}

TEST(ReadModelConfig, TakesYarnsFactorFromTheContextsWhereItIsNull) {
  Json config = llama_with("max_position_embeddings", 512);
  config["rope_scaling"] = Json::parse(
      R"({"rope_type": "yarn", "factor": null, "original_max_position_embeddings": 64})");
  EXPECT_EQ(read(config.dump()).model.rope_scaling.factor, 8.0);
}

TEST(ModelConfig, IsForContextsUpToTheFactorOfItsRope) {
  ModelConfig model;
  model.max_position_embeddings = 256;
  EXPECT_EQ(longest_context(model), 256);
  model.rope_scaling.rope_type = "dynamic";
  model.rope_scaling.factor = 2.5;
  EXPECT_EQ(longest_context(model), 640);
  model.rope_scaling.original_max_position_embeddings = 64;
  EXPECT_EQ(longest_context(model), 256);
}

TEST(ReadModelConfig, TakesASlidingWindowThatNoContextLeaves) {
  Json config = llama_with("model_type", "mistral");
  config["architectures"] = {"MistralForCausalLM"};
  config["num_key_value_heads"] = 4;
  EXPECT_THAT(refusal(config), HasSubstr("sliding_window is 4096; only full attention"));
  config["sliding_window"] = nullptr;
  EXPECT_EQ(read(config.dump()).model.max_position_embeddings, 131072);
  config["sliding_window"] = 64;
  config["max_position_embeddings"] = 64;
  EXPECT_EQ(read(config.dump()).model_type, "mistral");
  config["max_position_embeddings"] = 65;
  EXPECT_THAT(refusal(config), HasSubstr("model.max_position_embeddings=64 limits them to it"));
}

TEST(ReadModelConfig, RefusesWhatItWouldComputeDifferently) {
  const struct {
    std::string key;
    Json value;
    std::string reason;
  } cases[] = {
      {"architectures",
       {"MistralForCausalLM"},
       "architectures is \"MistralForCausalLM\"; with model_type llama it must be "
       "LlamaForCausalLM"},
      {"architectures", {"LlamaForSequenceClassification"}, "architectures is \"LlamaForSeq"},
      {"model_type", "gpt2",
       "model_type is \"gpt2\"; supported: llama, mistral, qwen2, qwen3, olmo2"},
      {"model_type", nullptr, "model_type is null"},
      {"model_type", "fathom", "model_type is \"fathom\""},
      {"model_type", "mixtral", "model_type is \"mixtral\""},
      {"model_type", 1, "model_type is 1"},
      {"eos_token_id", "two", "eos_token_id is \"two\"; allowed: a token id"},
      {"hidden_act", "gelu", "hidden_act is \"gelu\"; only \"silu\" is supported"},
      {"mlp_bias", true, "mlp_bias is true"},
      {"is_causal", false, "is_causal is false; only true"},
      {"quantization_config", {{"bits", 4}}, "quantization_config is {\"bits\":4}"},
      {"auto_map", {{"AutoModel", "x.y"}}, "auto_map is"},
      {"rope_scaling",
       {{"rope_type", "longrope"}, {"factor", 2.0}},
       "rope_scaling.rope_type is \"longrope\"; it isn't supported, and another would be another "
       "model; supported: default, linear, llama3, dynamic, yarn"},
      {"rope_parameters", {{"type", "su"}}, "rope_parameters.type is \"su\"; it isn't supported"},
      {"rope_scaling", {{"rope_type", 3}}, "rope_scaling.rope_type is 3; it isn't supported"},
      {"rope_scaling",
       {{"rope_type", "linear"}, {"factr", 2.0}},
       "rope_scaling.factor is missing; rope_type linear needs it"},
      {"rope_scaling",
       {{"rope_type", "llama3"}, {"factor", 2.0}},
       "rope_scaling.low_freq_factor is missing; rope_type llama3 needs it"},
      {"rope_parameters",
       {{"rope_type", "yarn"}, {"factor", 2.0}, {"partial_rotary_factor", 0.5}},
       "rope_parameters.partial_rotary_factor is 0.5; with rope_type yarn only 1.0 is supported"},
      {"rope_scaling", 2.0, "rope_scaling is 2.0; it must be an object"},
      {"rope_parameters",
       {{"full_attention", {{"rope_theta", 1e4}}}},
       "rope_parameters.full_attention is {\"rope_theta\":10000.0}; only one RoPE for all layers"},
  };
  for (const auto& bad : cases)
    EXPECT_THAT(refusal(llama_with(bad.key, bad.value)), HasSubstr(bad.reason)) << bad.key;
}

TEST(ReadModelConfig, RefusesABlockThatIsDamagedNewerOrContradicted) {
  const Json good = Json::parse(config_json(described(ModelConfig(), ModelForm::pre), kChoices));
  const auto refused = [&](const auto& change) {
    Json config = good;
    change(config);
    return refusal(config);
  };
  EXPECT_EQ(refused([](Json&) {}), "(nothing was thrown)");
  EXPECT_THAT(refused([](Json& c) { c["fathom"] = 1; }), HasSubstr("fathom isn't an object"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"]["version"] = 2; }),
              HasSubstr("fathom.version is 2; this Fathom reads 1"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"]["scale"] = 2; }),
              HasSubstr("unknown key 'fathom.scale'"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"]["norm_scale"] = true; }),
              HasSubstr("fathom.norm_scale is true; allowed: folded, none"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"].erase("model"); }), HasSubstr("key is missing"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"]["model"]["norm"]["placment"] = "pre"; }),
              HasSubstr("unknown key 'model.norm.placment'; did you mean 'model.norm.placement'?"));
  EXPECT_THAT(refused([](Json& c) { c["fathom"]["model"]["norm"]["placement"] = "lsn"; }),
              HasSubstr("model.norm.placement is 'lsn'; allowed: pre, mix, lns"));
  EXPECT_THAT(refused([](Json& c) { c["hidden_size"] = 384; }),
              HasSubstr("hidden_size is 384, but the block fathom says 768: change both"));
  EXPECT_THAT(refused([](Json& c) { c["tie_word_embeddings"] = true; }),
              HasSubstr("tie_word_embeddings is true, but the block fathom says false"));
  EXPECT_THAT(refused([](Json& c) { c["rope_parameters"]["rope_theta"] = 5e5; }),
              HasSubstr("rope_parameters.rope_theta is 500000.0; elsewhere it is 10000.0"));
  EXPECT_THAT(refused([](Json& c) {
                c.erase("rope_theta");
                c["rope_parameters"]["rope_theta"] = 5e5;
              }),
              HasSubstr("rope_theta is 500000.0, but the block fathom says 10000.0"));
  EXPECT_THAT(refused([](Json& c) {
                c["rope_scaling"] = Json::parse(R"({"type": "linear", "factor": 2.0})");
                c.erase("rope_parameters");
              }),
              HasSubstr("rope_scaling.rope_type is \"linear\", but the block fathom says"));
}

TEST(ReadModelConfig, FollowsWhatOtherProgramsWriteBesideTheBlock) {
  ModelConfig model;
  model.rope_scaling.rope_type = "yarn";
  model.rope_scaling.factor = 2;
  Json config = Json::parse(config_json(described(model, ModelForm::pre), kChoices));
  // As transformers 5 saves it after training, with a vocabulary that was resized.
  config.erase("torch_dtype");
  config.erase("rope_theta");
  config.erase("rope_scaling");
  config["architectures"] = {"LlamaForCausalLM"};
  config["attention_dropout"] = 0.1;
  config["use_cache"] = false;
  config["pretraining_tp"] = 1;
  config["transformers_version"] = "5.0.0";
  config["vocab_size"] = 32064;
  config["max_position_embeddings"] = 8192;
  config["initializer_range"] = 0.5;
  model.vocab_size = 32064;
  model.max_position_embeddings = 8192;
  model.initializer_range = 0.5;
  model.rope_scaling.original_max_position_embeddings = 2048;
  const SavedModelConfig saved = read(config.dump());
  EXPECT_EQ(config_json(described(saved.model, ModelForm::pre), kChoices),
            config_json(described(model, ModelForm::pre), kChoices));
}

}  // namespace
}  // namespace fathom
