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
  using Clock = std::chrono::steady_clock;

 public:
  /// @param title what is being done, e.g. "train"
  /// @param total in the caller's unit; 0 when unknown (then there is no ETA)
  /// @param start how much was done before, e.g. the step of a resumed run
  /// @param unit "step": texts begin with "step 126/300"; "" = for totals that say nothing
  Progress(std::string title, double total, double start = 0, std::string unit = "");
  /// Ends the line of the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Time that isn't part of the work: the ETA's clock stands still while it lives.
  class Pause {
   public:
    explicit Pause(Progress& progress) : progress_(progress), began_(Clock::now()) {}
    ~Pause() { progress_.go_on(began_); }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    Progress& progress_;
    Clock::time_point began_;
  };

  /// On a terminal: redraws "title [####      ] step 126/300 42% ETA 1:23 details", at most ten
  /// times a second and when all is done. Elsewhere: nothing.
  void update(double done, std::string_view details);
  /// The same text as a line, without title and bar; `update` then goes on below it.
  void report(double done, std::string_view details);
  /// Begins something that isn't part of the work, such as "evaluating", and shows it at once: in
  /// the bar on a terminal, as a line elsewhere.
  [[nodiscard]] Pause pause(std::string_view doing);
  /// Prints a line of its own: above the bar on a terminal, plain elsewhere.
  void line(std::string_view text);
  /// "1:23" or "2:03:04" until `total` at the pace so far, without pauses and, once there is more,
  /// without the first piece, which is slower; "?" while unknown.
  std::string eta(double done) const;

 private:
  void go_on(Clock::time_point paused_at);
  std::string text(double done, std::string_view details) const;
  void draw(double done, std::string_view details);
  /// Seconds of work so far.
  double elapsed() const;
  void note_pace(double done);

  std::string title_;
  double total_;
  double start_;
  std::string unit_;
  bool terminal_;
  Clock::time_point began_;
  Clock::duration paused_{};
  double first_done_;         // after the first piece
  double first_seconds_ = 0;  // that it took
  double done_;               // at the last update, and what was said then
  std::string details_;
  Clock::time_point drawn_{};
};

}  // namespace fathom
