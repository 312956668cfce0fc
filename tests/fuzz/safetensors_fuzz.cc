// A safetensors file: what is accepted is covered by its tensors without holes or overlaps.
#include "fathom/base/error.h"
#include "fathom/io/safetensors.h"
#include "fuzz/fuzz.h"

namespace fathom {

void fuzz_one(std::string_view input) {
  const std::string path = folder().write("x.safetensors", input);
  try {
    const SafetensorsFile file(path);
    uint64_t data_bytes = 0;
    uint64_t sum = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      const TensorSpec spec{name, tensor.dtype, tensor.shape};
      promise(spec.num_bytes() == tensor.bytes.size(), "a tensor has the bytes of its shape");
      data_bytes += tensor.bytes.size();
      for (const std::byte byte : tensor.bytes) sum += static_cast<uint64_t>(byte);
    }
    promise(data_bytes + 8 <= input.size() && sum <= 255 * input.size(), "tensors lie in the file");
  } catch (const CheckpointError&) {
  }
}

}  // namespace fathom
