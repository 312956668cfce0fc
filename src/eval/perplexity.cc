#include "fathom/eval/perplexity.h"

#include <cmath>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/train/step.h"

namespace fathom {

namespace {

/// Of counts that add up to `total`, in nats.
double entropy(const std::unordered_map<int64_t, int64_t>& counts, int64_t total) {
  double sum = 0;
  for (const auto& [token, count] : counts) {
    const double share = static_cast<double>(count) / static_cast<double>(total);
    sum -= share * std::log(share);
  }
  return sum;
}

}  // namespace

double Perplexity::perplexity() const { return std::exp(loss); }

Perplexity evaluate_perplexity(Llama& model, const EvaluationSource& batches,
                               const StopFlag& stop) {
  const torch::NoGradGuard no_grad;
  torch::Tensor total;
  Perplexity result;
  std::unordered_map<int64_t, int64_t> counts;
  while (const std::optional<Batch> batch = batches()) {
    stop.check();
    const BatchTensors rows = to_device(*batch, model->device());
    const torch::Tensor sum =
        model->loss(rows.input_BT, rows.target_BT, 1.0, {.document_BT = rows.document_BT})
            .to(torch::kFloat64);
    total = total.defined() ? total + sum : sum;
    result.targets += batch->targets;
    for (const int64_t target : batch->target) counts[target] += target != kIgnoredTarget;
  }
  if (result.targets == 0)
    throw DataError("there is nothing to score: the text has no document of two tokens");
  result.loss = total.item<double>() / static_cast<double>(result.targets);
  counts.erase(kIgnoredTarget);
  result.unigram_loss = entropy(counts, result.targets);
  return result;
}

}  // namespace fathom
