// Where the time of a step goes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fathom {

/// A part of a step: "attention", "head", "projections", ...
struct PartTime {
  std::string part;
  double seconds = 0;
};

/// Adds up the time of the thread that makes it, by part of the model, while it lives. Costs some
/// microseconds for each operation. On a GPU it measures what the host does, not its kernels.
class PartTimer {
 public:
  /// @throws std::logic_error if the thread has one already
  PartTimer();
  ~PartTimer();
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;

  /// What was measured so far, the longest first; "other" is what no part claims.
  std::vector<PartTime> parts() const;

  struct Record;

 private:
  std::unique_ptr<Record> record_;
  uint64_t callback_;
};

}  // namespace fathom
