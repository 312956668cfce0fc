// The entry of a target that libFuzzer runs.
#include <cstddef>
#include <cstdint>

#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fathom::fuzz_one({reinterpret_cast<const char*>(data), size});
  return 0;
}
