// A norm placement of one's own in a Llama of Fathom's, trained for one step.
#include <fathom/model/llama.h>

#include <cmath>
#include <iostream>

int main() {
  fathom::ModelConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.vocab_size = 100;

  // Pre-LN, with the branches of deeper layers scaled down.
  const auto placement = [](const fathom::Site& site) {
    fathom::SitePlan plan;
    plan.input_norm = fathom::NormKind::rms;
    plan.output_scale = 1.0 / std::sqrt(static_cast<double>(site.layer));
    return plan;
  };
  fathom::Llama model(config, fathom::resolve_plan(config, placement), torch::kFloat32,
                      torch::kFloat32);
  model->start_weights(1);

  const torch::Tensor tokens = torch::arange(2 * 17).reshape({2, 17});
  const torch::Tensor input = tokens.slice(1, 0, 16);
  const torch::Tensor target = tokens.slice(1, 1, 17);
  const torch::Tensor loss = model->loss(input, target, 1.0 / 32);
  loss.backward();
  std::cout << "loss " << loss.item<double>() << "\n";
  // Weights that know nothing yet: each of the 100 tokens is about as likely.
  return std::abs(loss.item<double>() - std::log(100.0)) < 0.5 ? 0 : 1;
}
