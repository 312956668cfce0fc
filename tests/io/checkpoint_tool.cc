// For checkpoint_test.py: commands on a directory of checkpoints, each with a content that
// can be told from others.
//   save ROOT STEP TEXT      publishes a checkpoint whose files hold TEXT
//   keep ROOT COUNT          keep_last
//   leftovers ROOT           remove_leftovers
//   newest ROOT              prints the step and TEXT of the newest valid checkpoint
#include <iostream>
#include <string>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/io/checkpoint_directory.h"

namespace fathom {
namespace {

const StopFlag kNeverStops;

void save(const std::string& root, int64_t step, const std::string& text) {
  CheckpointWriter writer(root, step);
  for (const char* name : {"config.json", "model.safetensors", "optimizer.safetensors"}) {
    OutputFile file(writer.file(name));
    for (int part = 0; part < 3; ++part) file.write(text);
    file.publish();
  }
  writer.publish();
}

void newest(const std::string& root) {
  std::vector<SkippedCheckpoint> skipped;
  const auto checkpoint = newest_valid(root, skipped, kNeverStops);
  for (const SkippedCheckpoint& bad : skipped) std::cerr << "skipped: " << bad.reason << "\n";
  if (!checkpoint) throw CheckpointError("no checkpoint");
  std::cout << checkpoint->step << " "
            << read_text_file(checkpoint->directory / "model.safetensors", 1 << 20) << "\n";
}

int run(const std::vector<std::string>& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "save" && arguments.size() == 4) {
    save(arguments[1], std::stoll(arguments[2]), arguments[3]);
  } else if (command == "keep" && arguments.size() == 3) {
    keep_last(arguments[1], std::stoll(arguments[2]), kNeverStops);
  } else if (command == "leftovers" && arguments.size() == 2) {
    remove_leftovers(arguments[1], kNeverStops);
  } else if (command == "newest" && arguments.size() == 2) {
    newest(arguments[1]);
  } else {
    std::cerr << "usage: checkpoint_tool save|keep|leftovers|newest ...\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  try {
    return fathom::run({argv + 1, argv + argc});
  } catch (const fathom::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return error.exit_code();
  }
}
