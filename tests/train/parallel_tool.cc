// Ranks that meet, sum a tensor each step, and of which rank 1 goes wrong at step 3, for
// parallel_test.py.
//
//   parallel_tool none|exit|mismatch|hang TIMEOUT_SECONDS    with the variables of torchrun
#include <ATen/Functions.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "fathom/train/parallel.h"

namespace fathom {
namespace {

int run(const std::string& fault, int64_t timeout_seconds) {
  StopFlag stop;
  const Launch launch = read_launch([](const char* name) { return std::getenv(name); });
  ParallelConfig config;
  config.timeout_seconds = timeout_seconds;
  Parallel parallel(launch, config, stop, "parallel_tool");
  for (int64_t step = 1; step <= 5; ++step) {
    parallel.begin_step(step);
    const bool faulty = parallel.rank() == 1 && step == 3;
    if (faulty && fault == "exit") std::_Exit(0);
    if (faulty && fault == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
    parallel.sum(torch::ones({faulty && fault == "mismatch" ? 1 << 16 : 1 << 10}));
  }
  parallel.leave();
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int, char** argv) {
  try {
    return fathom::run(argv[1], std::stoll(argv[2]));
  } catch (const fathom::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
