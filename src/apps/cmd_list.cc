#include <algorithm>

#include "apps/catalog.h"
#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/base/names.h"

namespace fathom {
namespace {

std::string as_json(const CatalogTable& table) {
  Json rows = Json::array();
  for (const CatalogRow& row : table.rows) {
    Json object = {{"name", row.name}, {"summary", row.summary}};
    if (!row.source.empty()) object["source"] = row.source;
    object["options"] = row.options;
    if (!row.extensions.empty()) object["extensions"] = row.extensions;
    rows.push_back(std::move(object));
  }
  return json_text(rows);
}

/// A page: the table, with the config keys' meaning left to --help.
std::string as_markdown(const CatalogTable& table) {
  std::string text = cat("| name | meaning | source | keys |\n|---|---|---|---|\n");
  for (const CatalogRow& row : table.rows) {
    std::vector<std::string> keys;
    for (const std::string& option : row.options) keys.push_back(cat("`", option, "`"));
    text += cat("| `", row.name, "` | ", row.summary, " | ", row.source, " | ", join(keys), " |\n");
  }
  return text;
}

std::string as_text(const CatalogTable& table) {
  size_t width = 0;
  for (const CatalogRow& row : table.rows) width = std::max(width, row.name.size());
  std::string text;
  for (const CatalogRow& row : table.rows) {
    text += cat(row.name, std::string(width - row.name.size() + 2, ' '), row.summary);
    if (!row.source.empty()) text += cat("; ", row.source);
    text += row.options.empty() ? "\n" : cat("; keys: ", join(row.options), "\n");
  }
  return text;
}

int run(Invocation& invocation) {
  const std::vector<CatalogTable> tables = catalog_tables();
  const CatalogTable& table = find_row(tables, invocation.arguments().at(0), "what to list");
  invocation.print(invocation.has("json")       ? as_json(table)
                   : invocation.has("markdown") ? as_markdown(table)
                                                : as_text(table));
  return 0;
}

}  // namespace

Command list_command() {
  const std::string names = join(names_of(catalog_tables()), "|");
  return {.name = "list",
          .summary = "shows what there is to choose from",
          .usage = names + " [--json|--markdown]",
          .example = "train-llm list placements",
          .min_arguments = 1,
          .max_arguments = 1,
          .flags = {{"json", "",
                     "print a list of objects with name, summary, source and what else counts"},
                    {"markdown", "", "print a Markdown table"}},
          .run = run};
}

}  // namespace fathom
