// The entry of a target without libFuzzer: runs the inputs that are kept.
//
//   NAME_fuzz FILE|FOLDER...
#include <algorithm>
#include <iostream>
#include <vector>

#include "fuzz/fuzz.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(path)) inputs.push_back(entry.path());
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

int run(const std::vector<std::string>& arguments) {
  size_t count = 0;
  for (const std::string& argument : arguments) {
    for (const fs::path& path : inputs_of(argument)) {
      std::cerr << path.filename().string() << "\n";  // the last line names the one that failed
      fuzz_one(testing::read_bytes(path.string()));
      ++count;
    }
  }
  std::cout << count << " inputs\n";
  return count == 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) { return fathom::run({argv + 1, argv + argc}); }
