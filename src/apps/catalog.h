// What there is to choose from: the tables behind `train-llm list`.
#pragma once

#include <string>
#include <vector>

namespace fathom {

struct CatalogRow {
  std::string name;
  std::string summary;                    ///< one line, or a formula
  std::string source{};                   ///< arXiv id; "" = none
  std::vector<std::string> options{};     ///< keys beside the choosing key that count with this row
  std::vector<std::string> extensions{};  ///< of a format's files
};

struct CatalogTable {
  std::string name;  ///< what `list` calls it: "placements"
  std::vector<CatalogRow> rows;
};

std::vector<CatalogTable> catalog_tables();

}  // namespace fathom
