#include "fathom/model/check.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <stdexcept>

#include "check_site.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr int64_t kTokens = 12;

torch::Tensor wide(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64).reshape({-1, tensor.size(-1)});
}

/// Moves every learned vector (gains, biases, gates, exponents) to known values around where it is,
/// so that one that starts at 0 or 1 shows; puts the former values back at the end.
class MovedVectors {
 public:
  explicit MovedVectors(const torch::nn::Module& module) {
    const at::Generator generator = at::detail::createCPUGenerator(1);
    for (torch::Tensor& parameter : module.parameters()) {
      if (parameter.dim() != 1) continue;
      saved_.emplace_back(parameter, parameter.detach().clone());
      const torch::Tensor step =
          torch::empty(parameter.sizes(), torch::kFloat32).uniform_(0.25, 0.5, generator);
      parameter.add_(step.to(parameter.device(), parameter.scalar_type()));
    }
  }
  MovedVectors(const MovedVectors&) = delete;
  MovedVectors& operator=(const MovedVectors&) = delete;
  ~MovedVectors() {
    const torch::NoGradGuard no_grad;
    for (auto& [parameter, value] : saved_) parameter.copy_(value);
  }

 private:
  std::vector<std::pair<torch::Tensor, torch::Tensor>> saved_;
};

void append(std::vector<CheckedValue>& all, std::vector<CheckedValue> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

ObservedSite observed(const SiteTrace& trace) {
  return {wide(trace.input), wide(trace.branch_input), wide(trace.branch_output),
          wide(trace.output)};
}

/// Query, key and value against their projections.
void measure_heads(const std::string& where, const Block& block, const SitePlan& plan,
                   const torch::Tensor& h_BTD, const ModelConfig& config,
                   std::vector<CheckedValue>& all) {
  const Attention& attention = block->self_attn;
  const Heads heads = attention->heads(h_BTD);
  const auto compare = [&](const char* what, HeadNorm expected, const Projection& projection,
                           const torch::Tensor& out_BHTC, const Norm& norm) {
    all.push_back(compare_head_norm(where, what, expected, wide(projection->forward(h_BTD)),
                                    wide(out_BHTC.transpose(1, 2).flatten(2)), norm,
                                    config.head_size(), config.rms_norm_eps));
    if (all.back().agrees && expected == HeadNorm::none) all.pop_back();
  };
  compare("query_norm", plan.query_norm, attention->q_proj, heads.query_BHTC, attention->q_norm);
  compare("key_norm", plan.key_norm, attention->k_proj, heads.key_BHTC, attention->k_norm);
  compare("value_norm", plan.value_norm, attention->v_proj, heads.value_BHTC, attention->v_norm);
}

/// Runs one block on the probe and measures its two residual steps.
void measure_block(LlamaImpl& model, int64_t index, const LayerPlan& plan,
                   std::vector<CheckedValue>& all) {
  Block block = model.block(index);
  const MovedVectors moved(*block);
  // Activations in float32 measure a bf16 model, too: its branches are often smaller than bf16's
  // rounding of the skip.
  const auto dtype = model.compute_dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const ModelConfig& config = model.config();
  const torch::Tensor probe = probe_activations(kTokens, config.hidden_size, config.rms_norm_eps)
                                  .to(model.device(), dtype)
                                  .unsqueeze(0);
  AttentionContext context;
  context.rope = model.rope(0, kTokens);
  // Both steps get the probe itself: the attention's output may have lost its small token.
  const SiteTrace first = block->attention_step(probe, context);
  const std::string attention = cat("layer ", index + 1, ", attention");
  append(all, compare_site(attention, plan.attention, observed(first),
                           block->parameters_of(Sublayer::attention), config.rms_norm_eps));
  measure_heads(attention, block, plan.attention, first.branch_input, config, all);
  const SiteTrace second = block->feed_forward_step(probe);
  append(all, compare_site(cat("layer ", index + 1, ", feed-forward"), plan.feed_forward,
                           observed(second), block->parameters_of(Sublayer::feed_forward),
                           config.rms_norm_eps));
}

/// One start value against the plan's: of a gain, a gate, an exponent or a norm's alpha.
void measure_start(const std::string& where, const std::string& what, bool planned, double start,
                   const torch::Tensor& parameter, std::vector<CheckedValue>& all) {
  if (planned != parameter.defined()) {
    all.push_back({where, what, planned ? "learned" : "not learned",
                   parameter.defined() ? "learned" : "not learned", false});
  } else if (planned) {
    const auto value = parameter.detach().to(torch::kFloat64);
    const double least = value.min().item<double>(), most = value.max().item<double>();
    const double allowed = 4e-3 * std::abs(start);  // bf16 rounds by 2^-9
    const bool agrees = std::abs(least - start) <= allowed && std::abs(most - start) <= allowed;
    all.push_back({where, what + ", start", cat(start),
                   least == most ? cat(least) : cat(least, " to ", most), agrees});
  }
}

torch::Tensor alpha_of(const Norm& norm) { return norm.is_empty() ? torch::Tensor() : norm->alpha; }

/// Gains of an Admin step are profiled: only that they moved can be said without the batch. The
/// first keeps its start, as nothing comes before it.
void measure_profiled(const std::string& where, const SitePlan& plan, const torch::Tensor& gain,
                      bool first, std::vector<CheckedValue>& all) {
  if (!plan.profiled_skip && plan.skip_gain.present())
    return measure_start(where, "skip_gain", true, plan.skip_gain.start, gain, all);
  if (!plan.profiled_skip || first || !gain.defined()) return;
  const bool moved = gain.detach().ne(plan.skip_gain.start).any().item<bool>();
  all.push_back({where, "profiled_skip", "on", moved ? "on" : "off", moved});
}

void measure_site_starts(const std::string& where, const SitePlan& plan,
                         const BlockImpl::SiteParameters& parameters, bool first,
                         std::vector<CheckedValue>& all) {
  const auto measure = [&](const char* what, bool planned, double start, const torch::Tensor& at) {
    measure_start(where, what, planned, start, at, all);
  };
  const auto alpha = [&](const char* what, const NormPlan& norm, const Norm& module) {
    measure(what, norm.kind == NormKind::dyt, norm.alpha, alpha_of(module));
  };
  alpha("input_norm", plan.input_norm, parameters.input);
  alpha("output_norm", plan.output_norm, parameters.output);
  alpha("sum_norm", plan.sum_norm, parameters.sum);
  measure("norm_exponent", plan.norm_exponent.learned, plan.norm_exponent.start,
          parameters.norm_exponent);
  measure("branch_gain", plan.branch_gain.present(), plan.branch_gain.start,
          parameters.branch_gain);
  measure("skip_gate", plan.skip_gate, 0.0, parameters.skip_gate);
  measure("sum_gate", plan.sum_gate, 0.0, parameters.sum_gate);
  measure_profiled(where, plan, parameters.skip_gain, first, all);
}

/// Std of every matrix against the plan, with five standard errors of the estimate and half a
/// percent of room.
void measure_matrices(const LlamaImpl& model, const ModelPlan& expected,
                      std::vector<CheckedValue>& all) {
  for (const NamedMatrix& matrix : model.matrices(expected)) {
    const double std = matrix.weight.detach().to(torch::kFloat32).std(false).item<double>();
    const auto count = static_cast<double>(matrix.weight.numel());
    const double allowed = (5 / std::sqrt(2 * count) + 0.005) * matrix.std;
    all.push_back({matrix.name, "std of the start values", cat(matrix.std), cat(std),
                   std::abs(std - matrix.std) <= allowed});
  }
}

/// What surrounds the blocks, by a forward pass: between embedding and first block, and after the
/// last.
void measure_ends(LlamaImpl& model, const ModelPlan& expected, std::vector<CheckedValue>& all) {
  const MovedVectors moved(model);
  const ModelConfig& config = model.config();
  const double tolerance = model.compute_dtype() == torch::kBFloat16 ? 2e-2 : 5e-5;  // rounding
  const torch::Tensor tokens =
      torch::arange(kTokens, torch::kInt64).remainder(config.vocab_size).to(model.device());
  const torch::Tensor gain = model.embedding_gain();
  const torch::Tensor table = wide(at::embedding(model.embedding_table(), tokens));
  const bool has_gain = gain.defined();
  const auto kind = !has_gain           ? GainKind::none
                    : gain.numel() == 1 ? GainKind::scalar
                                        : GainKind::channel;
  all.push_back({"embedding", "embedding_gain", describe(expected.embedding_gain),
                 describe(GainPlan{kind}), kind == expected.embedding_gain.kind});
  const torch::Tensor gained = has_gain ? table * gain.to(torch::kCPU, torch::kFloat64) : table;
  append(all, compare_norm("embedding", "embedding_norm", expected.embedding_norm, gained,
                           wide(model.embed(tokens.unsqueeze(0))), model.embedding_norm(),
                           config.rms_norm_eps, tolerance));
  std::vector<BlockTrace> trace;
  ForwardOptions options;
  options.trace = &trace;
  const torch::Tensor hidden = model.hidden(tokens.unsqueeze(0), options);
  append(all, compare_norm("before the head", "final_norm", expected.final_norm,
                           wide(trace.back().feed_forward.output), wide(hidden), model.final_norm(),
                           config.rms_norm_eps, tolerance));
}

/// Layers to measure: all, or an even sample with the first and the last.
std::vector<int64_t> sample_layers(int64_t num_layers, int64_t most) {
  std::vector<int64_t> layers;
  const int64_t count = std::min(num_layers, std::max<int64_t>(most, 2));
  for (int64_t i = 0; i < count; ++i)
    layers.push_back(count == 1 ? 0 : i * (num_layers - 1) / (count - 1));
  return layers;
}

void measure_starts(const LlamaImpl& model, const ModelPlan& expected,
                    std::vector<CheckedValue>& all) {
  measure_start("embedding", "embedding_gain", expected.embedding_gain.present(),
                expected.embedding_gain.start, model.embedding_gain(), all);
  measure_start("embedding", "embedding_norm", expected.embedding_norm.kind == NormKind::dyt,
                expected.embedding_norm.alpha, alpha_of(model.embedding_norm()), all);
  measure_start("before the head", "final_norm", expected.final_norm.kind == NormKind::dyt,
                expected.final_norm.alpha, alpha_of(model.final_norm()), all);
  for (size_t i = 0; i < expected.layers.size(); ++i) {
    const Block block = model.block(static_cast<int64_t>(i));
    measure_site_starts(cat("layer ", i + 1, ", attention"), expected.layers[i].attention,
                        block->parameters_of(Sublayer::attention), i == 0, all);
    measure_site_starts(cat("layer ", i + 1, ", feed-forward"), expected.layers[i].feed_forward,
                        block->parameters_of(Sublayer::feed_forward), false, all);
  }
  measure_matrices(model, expected, all);
}

}  // namespace

std::vector<CheckedValue> check_model(Llama& model, const ModelPlan& expected,
                                      const CheckOptions& options) {
  if (model->plan().layers.size() != expected.layers.size())
    throw std::invalid_argument(cat("the model has ", model->plan().layers.size(),
                                    " layers and the plan ", expected.layers.size()));
  const torch::NoGradGuard no_grad;
  std::vector<CheckedValue> all;
  for (const int64_t index : sample_layers(model->config().num_hidden_layers, options.max_layers))
    measure_block(*model, index, expected.layers[static_cast<size_t>(index)], all);
  measure_ends(*model, expected, all);
  if (options.start_values) measure_starts(*model, expected, all);
  return all;
}

std::string first_disagreement(const std::vector<CheckedValue>& measurements) {
  std::string text;
  for (const CheckedValue& m : measurements) {
    if (m.agrees) continue;
    // Several fields of one place that each explain it alone are named together.
    if (text.empty()) {
      text = cat(m.where, ": ", m.what, " is ", m.measured, ", the plan says ", m.expected);
    } else if (text.starts_with(m.where + ": ")) {
      text += cat(" (or ", m.what, " is ", m.measured, ", not ", m.expected, ")");
    }
  }
  return text;
}

}  // namespace fathom
