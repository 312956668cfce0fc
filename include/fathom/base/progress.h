// Progress for people: a bar with ETA that is redrawn on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace fathom {

/// "0:07", "1:23" or "2:03:04", rounded to whole seconds.
/// @param seconds at least 0; anything that isn't a time ("not yet known") gives "?"
std::string format_duration(double seconds);

/// Shows how far a piece of work is, on stderr. Nothing it does throws: a closed stderr never stops
/// the work. One thread uses it at a time.
class Progress {
 public:
  /// @param title what is being done, e.g. "train"
  /// @param total in the caller's unit; 0 when unknown (then there is no bar and no ETA)
  /// @param start how much was done before, e.g. the step of a resumed run; the ETA counts from it
  Progress(std::string title, double total, double start = 0);
  /// Ends the line of the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// On a terminal: redraws "title [####    ] 42% details ETA 1:23", at most ten times a second and
  /// when all is done. Elsewhere: nothing.
  void update(double done, std::string_view details);
  /// Prints a line of its own: above the bar on a terminal, plain elsewhere.
  void line(std::string_view text);
  /// "1:23" or "2:03:04" until `total` at the pace so far; "?" while unknown.
  std::string eta(double done) const;

 private:
  std::string title_;
  double total_;
  double start_;
  bool terminal_;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point drawn_{};
  std::string bar_;
};

}  // namespace fathom
