// model.safetensors.index.json beside two shards: no other file is opened, and every tensor is
// where the index says.
#include "fathom/base/error.h"
#include "fathom/hugging_face/weight_files.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

void write_shard(const char* file, const char* tensor) {
  SafetensorsWriter writer(folder() / file, {{tensor, TensorType::kU8, {1}}});
  writer.write(tensor, std::as_bytes(std::span("", 1)));
  writer.publish();
}

}  // namespace

void fuzz_one(std::string_view input) {
  static const bool shards = [] {
    write_shard("a.safetensors", "x");
    write_shard("b.safetensors", "y");
    return true;
  }();
  folder().write(kWeightsIndex, input);
  try {
    const WeightFiles files(folder().path());
    promise(shards && !files.tensors().empty(), "an index names tensors");
    for (const auto& [name, tensor] : files.tensors())
      promise((name == "x" || name == "y") && tensor->bytes.size() == 1, "only what shards hold");
  } catch (const CheckpointError&) {
  }
}

}  // namespace fathom
