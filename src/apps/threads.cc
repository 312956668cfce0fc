#include "apps/threads.h"

#include <cstdlib>
#include <string>

namespace fathom {
namespace {

constexpr int64_t kMostThreads = 4096;

}  // namespace

int64_t threads_of_environment(const std::function<const char*(const char*)>& variable) {
  const auto text = [&](const char* name) {
    const char* value = variable(name);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string threads = text("OMP_NUM_THREADS");
  const bool several = std::atoll(text("LOCAL_WORLD_SIZE").c_str()) > 1;
  if (threads == "1" && several && !text("TORCHELASTIC_RUN_ID").empty()) return 0;
  char* end = nullptr;
  const int64_t number = std::strtoll(threads.c_str(), &end, 10);
  return number > 0 && number <= kMostThreads && (*end == '\0' || *end == ',') ? number : 0;
}

}  // namespace fathom
