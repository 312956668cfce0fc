// Probes: what each layer of a model does, measured on rows of text. A probe of one's own derives
// from Probe; those of Fathom are rows of a table.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

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
  /// What was found in all rows so far: float64, the first dimension is the layer.
  virtual torch::Tensor result() const = 0;
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
  torch::Tensor values;  ///< Probe::result, on the CPU
  int64_t targets = 0;   ///< predictions that the rows hold, each at a position of its own
};

/// Shows every batch to the probe.
/// @param batches no value after the last
/// @throws Interrupted when asked to stop; DataError if the batches hold no target
Measurement measure(Llama& model, Probe& probe,
                    const std::function<std::optional<Batch>()>& batches, const StopFlag& stop);

}  // namespace fathom
