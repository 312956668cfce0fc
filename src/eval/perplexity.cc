#include "fathom/eval/perplexity.h"

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/train/step.h"

namespace fathom {

double Perplexity::perplexity() const { return std::exp(loss); }

Perplexity evaluate_perplexity(Llama& model, const EvaluationSource& batches,
                               const StopFlag& stop) {
  const torch::NoGradGuard no_grad;
  torch::Tensor total;
  Perplexity result;
  while (const std::optional<Batch> batch = batches()) {
    stop.check();
    const BatchTensors rows = to_device(*batch, model->device());
    const torch::Tensor sum =
        model->loss(rows.input_BT, rows.target_BT, 1.0, {.document_BT = rows.document_BT})
            .to(torch::kFloat64);
    total = total.defined() ? total + sum : sum;
    result.targets += batch->targets;
  }
  if (result.targets == 0)
    throw DataError("there is nothing to score: the text has no document of two tokens");
  result.loss = total.item<double>() / static_cast<double>(result.targets);
  return result;
}

}  // namespace fathom
