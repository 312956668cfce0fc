#include "fathom/data/report.h"

#include <algorithm>
#include <cstdio>

#include "fathom/base/error.h"
#include "fathom/base/number.h"

namespace fathom {
namespace {

/// Three digits that mean something: "0.0420", "3.60", "3,599".
std::string times(double value) {
  if (value >= 100) return grouped(static_cast<int64_t>(value + 0.5));
  char text[32];
  const int decimals = value < 0.1 ? 4 : value < 10 ? 2 : 1;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string percent(int64_t part, int64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%",
                100 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1)));
  return text;
}

std::string rows_text(const RowUse& use, const DataConfig& config, const std::string& name) {
  return cat(name, ": ", grouped(use.tokens), " tokens of ", grouped(use.documents),
             use.documents == 1 ? " document in " : " documents in ", grouped(use.rows),
             use.rows == 1 ? " row of " : " rows of ", config.sequence_length, " (", config.mode,
             ")");
}

/// Whether the keys of a config say what is done, or the flags of eval.
bool is_flag(const std::string& name) { return name.starts_with("--"); }

void add_cut(const RowUse& use, const DataConfig& config, const std::string& name,
             DataReport& report) {
  if (use.cut_tokens == 0) return;
  report.warnings.push_back(
      cat(name, ": ", is_flag(name) ? "--mode documents" : "data.mode=documents", " cuts ",
          grouped(use.cut_documents), " of ", grouped(use.documents), " documents after ",
          config.sequence_length, " tokens: ", grouped(use.cut_tokens), " of ", grouped(use.tokens),
          " tokens (", percent(use.cut_tokens, use.tokens), ") are left out; ",
          is_flag(name) ? "--mode packed" : "data.mode=packed", " takes all"));
}

}  // namespace

DataReport training_report(const Loader& loader, const DataConfig& config, int64_t steps) {
  const std::string name = "data.train";
  const RowUse use = loader.rows().use();
  const int64_t at_once = loader.global_batch_size();
  DataReport report{
      cat(rows_text(use, config, name), "; ", grouped(steps), " steps of ", grouped(at_once),
          " rows go through it ", times(loader.epochs(steps)), " times (epochs)"),
      {}};
  add_cut(use, config, name, report);
  if (use.tokens < config.sequence_length)
    report.warnings.push_back(cat(name, ": all the data has ", use.tokens,
                                  " tokens, less than one row of ", config.sequence_length,
                                  "; name more text, or lower data.sequence_length"));
  if (at_once > use.rows)
    report.warnings.push_back(cat(
        name, ": a step takes ", grouped(at_once), " rows and the data has ", grouped(use.rows),
        ": each step sees it ", times(loader.epochs(1)), " times; lower train.global_batch_size"));
  return report;
}

DataReport evaluation_report(const Rows& rows, const DataConfig& config, const std::string& name) {
  const RowUse use = rows.use();
  const int64_t scored = std::min(use.targets, config.validation_tokens);
  DataReport report{
      cat(rows_text(use, config, name), "; an evaluation scores ", grouped(scored), " tokens"), {}};
  add_cut(use, config, name, report);
  if (scored < use.targets)
    report.warnings.push_back(
        cat(name, ": only the first ", grouped(scored), " of ", grouped(use.targets), " tokens (",
            percent(scored, use.targets),
            ") are scored: ", is_flag(name) ? "--tokens" : "data.validation_tokens"));
  return report;
}

}  // namespace fathom
