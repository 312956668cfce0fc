// What is said of a run's data at its start: how often it is gone through, and what is left out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/loader.h"

namespace fathom {

struct DataReport {
  std::string summary;                ///< one line
  std::vector<std::string> warnings;  ///< what no row holds or no evaluation scores, with numbers
};

/// Of the rows of data.train. @param steps of the whole run
DataReport training_report(const Loader& loader, const DataConfig& config, int64_t steps);

/// Of the rows of data.validation.
/// @param name of what is scored, "data.validation"
DataReport evaluation_report(const Rows& rows, const DataConfig& config, const std::string& name);

}  // namespace fathom
