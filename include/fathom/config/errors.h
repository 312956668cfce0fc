// All that is wrong with a config.
#pragma once

#include <string>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {

/// Several mistakes; what() has a line for each.
class ConfigErrors : public ConfigError {
 public:
  explicit ConfigErrors(std::vector<std::string> lines)
      : ConfigError(join(lines, "\n")), lines_(std::move(lines)) {}
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

}  // namespace fathom
