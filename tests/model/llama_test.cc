#include "fathom/model/llama.h"

#include <gtest/gtest.h>

#include "fathom/base/ignored_target.h"
#include "fathom/model/cost.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

torch::Tensor all_gradients(Llama& model) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& parameter : model->parameters())
    flat.push_back(parameter.grad().flatten());
  return torch::cat(flat);
}

TEST(Llama, StartsEveryWeightFromSeedAndNameAloneWhateverTheThreads) {
  const ModelConfig config = tiny_config();
  const Llama one = tiny_model(config);
  at::set_num_threads(1);
  const Llama two = tiny_model(config);
  at::set_num_threads(2);
  ModelConfig deeper = config;
  deeper.num_hidden_layers = 6;
  const Llama three = tiny_model(deeper);
  const auto parameters = two->named_parameters(), deeper_parameters = three->named_parameters();
  for (const auto& entry : one->named_parameters()) {
    EXPECT_TRUE(torch::equal(entry.value(), parameters[entry.key()])) << entry.key();
    EXPECT_TRUE(torch::equal(entry.value(), deeper_parameters[entry.key()])) << entry.key();
  }
  EXPECT_FALSE(torch::equal(parameters["model.layers.0.mlp.up_proj.weight"],
                            parameters["model.layers.1.mlp.up_proj.weight"]));
}

TEST(Llama, HasHuggingFacesParameterNames) {
  const auto parameters = tiny_model(tiny_config())->named_parameters();
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.3.self_attn.o_proj.weight",
        "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight",
        "model.layers.2.mlp.down_proj.weight", "model.norm.weight", "lm_head.weight"})
    EXPECT_TRUE(parameters.contains(name)) << name;
}

TEST(Llama, CountsItsParametersInTheCostModel) {
  for (const char* placement : {"pre", "post", "mix", "lns"}) {
    for (const bool variant : {false, true}) {
      ModelConfig config = tiny_config(placement);
      config.tie_word_embeddings = config.attention_bias = variant;
      config.qk_norm = variant ? "head" : "none";
      if (variant) config.num_key_value_heads = 1;
      const Llama model = tiny_model(config);
      int64_t count = 0;
      for (const torch::Tensor& parameter : model->parameters()) count += parameter.numel();
      EXPECT_EQ(count_parameters(config, resolve_plan(config)).total(), count)
          << placement << variant;
    }
  }
}

TEST(Llama, CountsFlopsAsThePapersSizesHaveThem) {
  ModelConfig
      config;  // 130m: 509.6 M in the layers, 147.5 M in the head, 14.2 M in attention, by hand
  EXPECT_NEAR(training_flops_per_token(config, 256), 671.2e6, 0.1e6);
}

TEST(Llama, GivesTheSameGradientsWithActivationCheckpointing) {
  for (const char* placement : {"pre", "post", "lns", "deepnorm"}) {
    Llama model = tiny_model(tiny_config(placement));
    const torch::Tensor tokens = tiny_tokens(2, 9);
    model->loss(tokens, tokens, 0.1).backward();
    const torch::Tensor expected = all_gradients(model);
    for (torch::Tensor& parameter : model->parameters()) parameter.mutable_grad().reset();
    model->set_activation_checkpointing(true);
    model->loss(tokens, tokens, 0.1).backward();
    EXPECT_TRUE(torch::equal(all_gradients(model), expected)) << placement;
  }
}

TEST(Llama, GivesTheSameHiddenStatesThroughAKeyValueCache) {
  ModelConfig config = tiny_config();
  config.num_key_value_heads = 1;
  config.qk_norm = "head";
  Llama model = tiny_model(config);
  const torch::NoGradGuard no_grad;
  const torch::Tensor tokens = tiny_tokens(1, 12);
  const torch::Tensor expected = model->hidden(tokens);
  KeyValueCache cache(config, 1, 12, torch::TensorOptions(torch::kFloat64));
  std::vector<torch::Tensor> parts = {model->hidden(tokens.narrow(1, 0, 7), {.cache = &cache})};
  for (int64_t t = 7; t < 12; ++t)
    parts.push_back(model->hidden(tokens.narrow(1, t, 1), {.cache = &cache}));
  EXPECT_TRUE(torch::allclose(torch::cat(parts, 1), expected, 1e-12, 1e-12));
}

TEST(Llama, KeepsAttentionWithinADocument) {
  Llama model = tiny_model(tiny_config());
  const torch::NoGradGuard no_grad;
  const torch::Tensor first = tiny_tokens(1, 5, 1), second = tiny_tokens(1, 7, 2);
  const torch::Tensor document_BT =
      torch::cat({torch::zeros({1, 5}), torch::ones({1, 7})}, 1).to(torch::kInt32);
  const torch::Tensor together =
      model->hidden(torch::cat({first, second}, 1), {.document_BT = document_BT});
  // Rotary positions are relative, so a document sees the same whereever it starts.
  EXPECT_TRUE(torch::allclose(together.narrow(1, 0, 5), model->hidden(first), 1e-10, 1e-12));
  EXPECT_TRUE(torch::allclose(together.narrow(1, 5, 7), model->hidden(second), 1e-10, 1e-12));
}

TEST(Llama, NeverLooksAhead) {
  Llama model = tiny_model(tiny_config());
  const torch::NoGradGuard no_grad;
  const torch::Tensor tokens = tiny_tokens(1, 8);
  torch::Tensor changed = tokens.clone();
  changed[0][7] = (tokens[0][7] + 1) % 50;
  EXPECT_TRUE(
      torch::equal(model->hidden(tokens).narrow(1, 0, 7), model->hidden(changed).narrow(1, 0, 7)));
}

}  // namespace
}  // namespace fathom
