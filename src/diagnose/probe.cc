#include "fathom/diagnose/probe.h"

#include <array>

#include "fathom/base/error.h"
#include "probes/variance.h"

namespace fathom {
namespace {

constexpr std::array kProbes = {
    ProbeInfo{"variance", "Var of each block's output over the hidden dimension, mean over tokens",
              "arXiv:2502.05795, figure 4", &probe::variance},
};

}  // namespace

std::span<const ProbeInfo> probes() { return kProbes; }

Measurement measure(Llama& model, Probe& probe, const BatchStream& batches, const StopFlag& stop) {
  Measurement measured;
  while (const std::optional<Batch> batch = batches()) {
    stop.check();
    if (batch->targets == 0) continue;
    probe.observe(model, to_device(*batch, model->device()));
    measured.targets += batch->targets;
  }
  if (measured.targets == 0)
    throw DataError("there is nothing to measure: the text has no document of two tokens");
  measured.values = probe.result().to(torch::kCPU);
  measured.axes = probe.axes();
  return measured;
}

Json to_json(const torch::Tensor& values) {
  if (values.dim() == 0) return values.item<double>();
  Json array = Json::array();
  for (int64_t i = 0; i < values.size(0); ++i) array.push_back(to_json(values[i]));
  return array;
}

}  // namespace fathom
