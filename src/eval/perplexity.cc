#include "fathom/eval/perplexity.h"

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/train/step.h"

namespace fathom {

namespace {

/// Of counts that add up to `total`, in nats.
double entropy(const std::vector<int64_t>& counts, int64_t total) {
  double sum = 0;
  for (const int64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(total);
    sum -= share * std::log(share);
  }
  return sum;
}

}  // namespace

double Perplexity::perplexity() const { return std::exp(loss); }

Perplexity evaluate_perplexity(Llama& model, const BatchStream& batches, const StopFlag& stop,
                               Parallel* parallel) {
  const torch::NoGradGuard no_grad;
  torch::Tensor total =
      torch::zeros({}, torch::TensorOptions(torch::kFloat64).device(model->device()));
  Perplexity result;
  std::vector<int64_t> counts(static_cast<size_t>(model->config().vocab_size));  // by token
  while (const std::optional<Batch> batch = batches()) {
    stop.check();
    result.targets += batch->targets;
    if (batch->rows == 0) continue;  // the last batch may have fewer rows than there are ranks
    const BatchTensors rows = to_device(*batch, model->device());
    total += model->loss(rows.input_BT, rows.target_BT, 1.0, {.document_BT = rows.document_BT});
    for (const int64_t target : batch->target) {
      if (target != kIgnoredTarget) ++counts[static_cast<size_t>(target)];
    }
  }
  if (result.targets == 0)
    throw DataError("there is nothing to score: the text has no document of two tokens");
  total = total.cpu();
  if (parallel != nullptr) {
    parallel->sum(total);
    parallel->sum(torch::from_blob(counts.data(), {model->config().vocab_size}, torch::kInt64));
  }
  result.loss = total.item<double>() / static_cast<double>(result.targets);
  result.unigram_loss = entropy(counts, result.targets);
  return result;
}

}  // namespace fathom
