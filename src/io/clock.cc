#include "clock.h"

#include <chrono>

namespace fathom {

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  return static_cast<double>(milliseconds) / 1e3;
}

}  // namespace fathom
