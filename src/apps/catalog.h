// What there is to choose from: the tables behind `train-llm list` and behind the config keys that
// name a row.
#pragma once

#include <string>
#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

struct CatalogRow {
  std::string name;
  std::string summary;                 ///< one line, or a formula
  std::string source{};                ///< arXiv id; "" = none
  std::vector<std::string> options{};  ///< keys beside the choosing key that count with this row
};

struct CatalogTable {
  std::string name;  ///< what `list` calls it: "placements"
  std::string key;   ///< the config key that chooses a row; "" = none
  std::vector<CatalogRow> rows;
};

std::vector<CatalogTable> catalog_tables();

/// The same, as the config reader wants it.
Choices catalog();

}  // namespace fathom
