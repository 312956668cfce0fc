// Flags of the commands that read text files without a config.
#pragma once

#include <string>
#include <vector>

#include "apps/cli.h"
#include "fathom/data/formats.h"

namespace fathom {

/// `flags` and those that say how documents are read.
std::vector<Flag> with_read_flags(std::vector<Flag> flags);

/// @param options what holds where a flag isn't given
/// @throws ConfigError for values out of bounds
ReadOptions read_options(const Invocation& invocation, ReadOptions options = {});

/// The value of a flag that allows some texts. @throws ConfigError for any other
std::string one_of(const Invocation& invocation, const std::string& flag,
                   const std::string& fallback, const std::vector<std::string>& allowed);

/// A flag that has to be given. @throws ConfigError
std::string required_text(const Invocation& invocation, const std::string& flag);

}  // namespace fathom
