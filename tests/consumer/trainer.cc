// A trainer of one's own: its placement, its loop and its probe over Fathom's blocks and loader.
//
//   trainer TEXT TOKENIZER.model OUT    ten steps; train-llm eval, generate and diagnose read OUT
#include <fathom/diagnose/probe.h>
#include <fathom/eval/perplexity.h>
#include <fathom/run/choices.h>
#include <fathom/run/run_start.h>
#include <fathom/train/trainer.h>

#include <cmath>
#include <iostream>

namespace {

/// Pre-LN whose branches shrink with depth.
fathom::SitePlan shrinking(const fathom::Site& site) {
  fathom::SitePlan plan;
  plan.input_norm = fathom::NormKind::rms;
  plan.output_scale = 1.0 / static_cast<double>(site.layer);
  return plan;
}

/// How much each block adds to its input: |output - input| / |input|, of the last rows seen.
class Growth : public fathom::Probe {
 public:
  void observe(fathom::Llama& model, const fathom::BatchTensors& rows) override {
    const torch::NoGradGuard no_grad;
    std::vector<fathom::BlockTrace> trace;
    model->hidden(rows.input_BT, {.trace = &trace});
    std::vector<torch::Tensor> ratios;
    for (const fathom::BlockTrace& block : trace) {
      const torch::Tensor &input = block.attention.input, &output = block.feed_forward.output;
      ratios.push_back((output - input).norm().div(input.norm()).to(torch::kFloat64));
    }
    growth_ = at::stack(ratios);
  }
  torch::Tensor result() const override { return growth_; }

 private:
  torch::Tensor growth_;
};

fathom::RunConfig small_config() {
  fathom::RunConfig config;
  config.model.hidden_size = 64;
  config.model.intermediate_size = 128;
  config.model.num_hidden_layers = 3;
  config.model.num_attention_heads = 4;
  config.model.vocab_size = 300;
  config.data.sequence_length = 32;
  config.data.mode = "packed";
  config.train.max_steps = 10;
  config.train.global_batch_size = 8;
  return config;
}

/// One step of a loop of one's own. @returns the mean loss
double step(fathom::TrainState& state, const fathom::Batch& batch) {
  const fathom::BatchTensors rows = fathom::to_device(batch, state.model->device());
  for (torch::Tensor& parameter : state.model->parameters()) parameter.mutable_grad().reset();
  const torch::Tensor loss =
      state.model->loss(rows.input_BT, rows.target_BT, 1.0 / static_cast<double>(batch.targets));
  loss.backward();
  state.optimizer.step(/*lr=*/torch::full({}, 3e-3, torch::kFloat64),
                       /*gradient_divisor=*/torch::ones({}), /*skip=*/torch::zeros({}));
  ++state.step;
  state.tokens += batch.tokens;
  return loss.item<double>();
}

/// A loop of one's own over the parts of a run.
void run(const std::string& text, const std::string& tokenizer, const std::string& out) {
  fathom::RunConfig config = small_config();
  config.data.cache_dir = out + "/cache";
  config.data.train = config.data.validation = {text};
  config.data.tokenizer = tokenizer;
  const fathom::StopFlag stop;
  const fathom::RunData data = fathom::load_data(config, fathom::Log(), stop);
  const fathom::Loader loader(open_again(data.train), config.data, config.train.global_batch_size);
  fathom::TrainState state = fathom::make_train_state(
      config, fathom::resolve_plan(config.model, shrinking), torch::kCPU, /*start=*/true);

  while (state.step < config.total_steps())
    std::cout << "loss " << step(state, loader.batch(state.step)) << "\n";

  const fathom::EvaluationLoader rows(open_again(data.validation), config.data,
                                      config.train.global_batch_size);
  Growth growth;
  std::cout << "growth " << measure(state.model, growth, batches_of(rows), stop).values
            << "\nvalidation " << evaluate_perplexity(state.model, batches_of(rows), stop).loss
            << "\n";

  const fathom::Choices choices = fathom::config_choices();
  const fathom::RunIdentity identity = identity_of(config, choices, data, torch::kCPU);
  save_checkpoint(out + "/checkpoints", state, checkpoint_content(config, data, identity, choices));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: trainer TEXT TOKENIZER.model OUT\n";
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3]);
  } catch (const fathom::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
