// Leveled log on stderr. The only file that knows spdlog is log.cc: its fmt clashes with torch's.
#pragma once

#include <memory>
#include <string>

namespace fathom {

/// Writes lines to stderr; each line is one message. Copies share the sink. Never throws on a
/// closed stderr.
class Log {
 public:
  /// @param quiet drops info lines; warnings and errors always pass
  explicit Log(bool quiet = false);

  void info(const std::string& message) const;
  /// Starts with "warning: ".
  void warn(const std::string& message) const;
  /// Starts with "error: ".
  void error(const std::string& message) const;

 private:
  struct Sink;
  std::shared_ptr<Sink> sink_;
};

}  // namespace fathom
