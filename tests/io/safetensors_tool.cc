// For safetensors_oracle.py: `copy IN OUT` passes a file through our reader and writer; `check`
// reads paths from stdin and answers each with "ok" or the reason of the refusal.
#include <iostream>
#include <string>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

void copy(const std::string& from, const std::string& to) {
  const SafetensorsFile in(from);
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : in.tensors())
    specs.push_back({name, tensor.dtype, tensor.shape});
  SafetensorsWriter out(to, specs, in.metadata());
  for (const TensorSpec& spec : out.order()) out.write(spec.name, in.at(spec.name).bytes);
  out.publish();
}

void check_all() {
  for (std::string path; std::getline(std::cin, path);) {
    try {
      const SafetensorsFile file(path);
      std::cout << "ok\n";
    } catch (const CheckpointError& error) {
      std::cout << error.what() << "\n";
    }
  }
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "copy" && argc == 4) {
    fathom::copy(argv[2], argv[3]);
  } else if (command == "check" && argc == 2) {
    fathom::check_all();
  } else {
    std::cerr << "usage: safetensors_tool copy IN OUT | check <PATHS\n";
    return 2;
  }
  return 0;
}
