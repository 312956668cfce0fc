#include "fathom/model/cost.h"

#include "fathom/kernels/linear_cross_entropy.h"

namespace fathom {
namespace {

/// What a run takes beyond the derived parts: buffers of the GEMM library, the tokenizer, code that
/// only training touches. Measured with 9m and 60m.
constexpr int64_t kOverheadBytes = 32 << 20;

struct Widths {
  int64_t hidden, inner, query, key_value;
};

Widths widths(const ModelConfig& config) {
  return {config.hidden_size, config.intermediate_size,
          config.num_attention_heads * config.head_size(),
          config.key_value_heads() * config.head_size()};
}

/// Weights of a block's matrices.
int64_t block_matrix_weights(const ModelConfig& config) {
  const Widths w = widths(config);
  return w.hidden * (2 * w.query + 2 * w.key_value) + 3 * w.hidden * w.inner;
}

int64_t num_norms(const SitePlan& plan) {
  int64_t count = 0;
  for (const NormPlan& norm : {plan.input_norm, plan.output_norm, plan.sum_norm})
    count += norm.present() ? 1 : 0;
  return count;
}

int64_t norm_weights(const NormPlan& norm, int64_t dim) {
  if (!norm.present()) return 0;
  return dim + (norm.kind == NormKind::layer ? dim : norm.kind == NormKind::dyt ? 1 : 0);
}

int64_t head_norm_weights(HeadNorm norm, int64_t head, int64_t width) {
  return norm == HeadNorm::none ? 0 : norm == HeadNorm::head ? head : width;
}

int64_t gain_weights(const GainPlan& gain, int64_t dim) {
  return gain.kind == GainKind::none ? 0 : gain.kind == GainKind::scalar ? 1 : dim;
}

/// Weights of a residual step beside its matrices.
int64_t site_weights(const ModelConfig& config, const SitePlan& plan) {
  const Widths w = widths(config);
  int64_t count = gain_weights(plan.skip_gain, w.hidden) + gain_weights(plan.branch_gain, w.hidden);
  for (const NormPlan& norm : {plan.input_norm, plan.output_norm, plan.sum_norm})
    count += norm_weights(norm, w.hidden);
  count += head_norm_weights(plan.query_norm, config.head_size(), w.query) +
           head_norm_weights(plan.key_norm, config.head_size(), w.key_value) +
           head_norm_weights(plan.value_norm, config.head_size(), w.key_value);
  return count + plan.norm_exponent.learned + plan.skip_gate + plan.sum_gate;
}

/// Numbers that a block keeps for its backward pass, for each token: the inputs of its norms,
/// projections and attention, and the two halves of SwiGLU.
int64_t saved_per_token(const ModelConfig& config, const LayerPlan& plan) {
  const Widths w = widths(config);
  const auto site = [&](const SitePlan& s) {
    // A norm keeps its input beside what the next projection keeps; without norms the branch reads
    // the stream itself.
    return w.hidden * std::max<int64_t>(1, 1 + num_norms(s));
  };
  return site(plan.attention) + site(plan.feed_forward) + 2 * w.query + 2 * w.key_value +
         2 * w.inner;
}

}  // namespace

ParameterCount count_parameters(const ModelConfig& config, const ModelPlan& plan) {
  const Widths w = widths(config);
  ParameterCount count;
  const int64_t table = config.vocab_size * config.hidden_size;
  count.embedding = table + norm_weights(plan.embedding_norm, w.hidden) +
                    gain_weights(plan.embedding_gain, w.hidden);
  count.head = config.tie_word_embeddings ? 0 : table;
  count.final_norm = norm_weights(plan.final_norm, w.hidden);
  const int64_t biases = (config.attention_bias ? w.query + 2 * w.key_value : 0) +
                         (config.output_bias() ? w.hidden : 0);
  count.block_matrices = static_cast<int64_t>(plan.layers.size()) * block_matrix_weights(config);
  for (const LayerPlan& layer : plan.layers)
    count.blocks += block_matrix_weights(config) + biases + site_weights(config, layer.attention) +
                    site_weights(config, layer.feed_forward);
  return count;
}

double training_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const double gemm = layers * static_cast<double>(block_matrix_weights(config)) +
                      static_cast<double>(config.vocab_size * config.hidden_size);
  const double attention =
      layers * static_cast<double>(widths(config).query) * static_cast<double>(sequence_length);
  return 6 * (gemm + attention);
}

MemoryEstimate estimate_memory(const RunConfig& config, const ModelPlan& plan,
                               int64_t optimizer_numbers) {
  const ModelConfig& model = config.model;
  const bool bf16 = config.train.precision == "bf16";
  const int64_t parameter_bytes = bf16 ? 2 : 4;
  const int64_t compute_bytes = config.train.precision == "fp32" ? 4 : 2;
  const int64_t parameters = count_parameters(model, plan).total();
  const int64_t tokens = config.train.rows_per_micro_batch() * config.data.sequence_length;
  MemoryEstimate memory;
  memory.weights = parameters * parameter_bytes;
  memory.optimizer = optimizer_numbers * parameter_bytes;
  int64_t saved = 2 * model.hidden_size;  // the final norm's input and the head's
  int64_t largest_block = 0;
  for (const LayerPlan& layer : plan.layers) {
    const int64_t block = saved_per_token(model, layer);
    largest_block = std::max(largest_block, block);
    saved += config.train.activation_checkpointing ? model.hidden_size : block;
  }
  if (config.train.activation_checkpointing) saved += largest_block;
  memory.activations = saved * tokens * compute_bytes;
  memory.backward = 4 * (model.intermediate_size + model.hidden_size) * tokens * compute_bytes;
  const int64_t chunk = std::min(loss_chunk_rows(torch::kCPU), tokens);
  memory.loss = chunk * model.vocab_size * 4;
  memory.overhead = kOverheadBytes;
  // The peak of a single micro-batch is where its backward pass begins, with the head's gradient
  // alone, or where it ends, with all gradients and no activations. Further micro-batches find all
  // gradients there.
  const int64_t head = model.vocab_size * model.hidden_size * parameter_bytes;
  const int64_t all = parameters * parameter_bytes;
  const bool one_pass = config.train.rows_per_micro_batch() == config.train.global_batch_size;
  memory.gradients = one_pass
                         ? std::max(head, all - memory.activations - memory.backward - memory.loss)
                         : all + head;
  return memory;
}

}  // namespace fathom
