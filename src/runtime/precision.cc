#include "fathom/runtime/precision.h"

namespace fathom {

Precision precision_of(const TrainConfig& config) {
  if (config.precision == "bf16") return {torch::kBFloat16, torch::kBFloat16};
  if (config.precision == "bf16_mixed") return {torch::kFloat32, torch::kBFloat16};
  return {torch::kFloat32, torch::kFloat32};
}

}  // namespace fathom
