// Probes: what each layer of a model does, measured on rows of text. A probe of one's own derives
// from Probe; those of Fathom are rows of a table.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/base/stop.h"
#include "fathom/data/batch.h"
#include "fathom/model/llama.h"
#include "fathom/train/step.h"

namespace fathom {

/// A measurement: shown rows, then asked. It may run the model forwards, backwards or block by
/// block, and leaves weights and gradients as they were.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual void observe(Llama& model, const BatchTensors& rows) = 0;
  /// What was found in all rows so far: float64, a dimension for each axis.
  virtual torch::Tensor result() const = 0;
  /// Names of the dimensions: "layer", or "layer" and "distance". Both count from 1.
  virtual std::vector<std::string> axes() const { return {"layer"}; }
};

/// A row of the table of probes.
struct ProbeInfo {
  std::string_view name;
  std::string_view formula;
  std::string_view source;
  std::unique_ptr<Probe> (*make)();
};

/// All probes that `train-llm diagnose --probe` can name.
std::span<const ProbeInfo> probes();

/// What a probe measured.
struct Measurement {
  torch::Tensor values;           ///< Probe::result, on the CPU
  std::vector<std::string> axes;  ///< names of their dimensions
  int64_t targets = 0;            ///< predictions that the rows hold, each at a position of its own
};

/// Shows every batch to the probe.
/// @throws Interrupted when asked to stop; DataError if the batches hold no target
Measurement measure(Llama& model, Probe& probe, const BatchStream& batches, const StopFlag& stop);

/// Nested arrays in the tensor's shape.
Json to_json(const torch::Tensor& values);

}  // namespace fathom
