#include "fathom/io/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "append_file.h"
#include "clock.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"

namespace fathom {
namespace {

constexpr size_t kMaxLineBytes = 16 << 20;

/// Calls `use(line without its newline, its number, whether a newline ended it)` for each line.
/// Lines over the limit come cut: they aren't ours.
void for_each_line(const std::filesystem::path& path,
                   const std::function<void(const std::string&, int64_t, bool)>& use) {
  InputFile file(path);
  std::array<char, 1 << 16> buffer{};
  std::string line;
  int64_t number = 1;
  while (const size_t size = file.read(std::as_writable_bytes(std::span(buffer)))) {
    for (const char c : std::string_view(buffer.data(), size)) {
      if (c == '\n') {
        use(line, number++, true);
        line.clear();
      } else if (line.size() < kMaxLineBytes) {
        line += c;
      }
    }
  }
  if (!line.empty()) use(line, number, false);
}

/// The record, or null.
Json parse_record(const std::string& line) {
  try {
    Json record = parse_json(line, "");
    const bool good = record.is_object() && record.contains("step") &&
                      record["step"].is_number_integer() && record.contains("event") &&
                      record["event"].is_string();
    return good ? record : Json();
  } catch (const std::invalid_argument&) {
    return {};
  }
}

/// "eval", or with its name "probe/variance".
std::string key_of(const Json& record) {
  const auto name = record.find("name");
  const bool named = name != record.end() && name->is_string();
  return record["event"].get<std::string>() + (named ? "/" + name->get<std::string>() : "");
}

/// Whether a number in an array, or in arrays of it, isn't finite.
bool holds_nonfinite(const Json& numbers) {
  if (!numbers.is_array()) return numbers.is_number() && !std::isfinite(numbers.get<double>());
  return std::any_of(numbers.begin(), numbers.end(), holds_nonfinite);
}

/// Drops what a resumed run will write again: a run that was stopped in an evaluation has it still
/// to come, at the checkpoint's own step. The file changes at once or not at all, and is a new
/// one: what had its name may have been a link, or another file's second name.
void drop_after(const std::filesystem::path& path, const ResumePoint& resume, const Log& log) {
  OutputFile kept(path);
  for_each_line(path, [&](const std::string& line, int64_t number, bool whole) {
    const Json record = parse_record(line);
    if (whole && record.is_null())
      log.warn(cat(path.string(), ":", number, ": isn't a record and is dropped"));
    if (!whole || record.is_null()) return;
    const auto last = resume.last.find(key_of(record));
    if (record["step"].get<int64_t>() > (last == resume.last.end() ? resume.step : last->second))
      return;
    kept.write(line);
    kept.write("\n");
  });
  kept.publish();
}

Json to_json(const MetricArray& array) { return array.numbers; }
template <typename Value>
Json to_json(const Value& value) {
  return value;
}

void add_value(Json& record, Json& nonfinite, const std::string& name, const MetricValue& value) {
  if (record.contains(name) || name == "nonfinite")
    throw std::invalid_argument(cat("metric '", name, "' is in the record already"));
  std::visit([&](const auto& v) { record[name] = to_json(v); }, value);
  if (!holds_nonfinite(record[name])) return;
  if (!record[name].is_array()) record[name] = nullptr;  // in arrays the numbers alone are
  nonfinite.push_back(name);
}

}  // namespace

MetricsWriter::MetricsWriter(const std::filesystem::path& path, std::optional<ResumePoint> resume,
                             const Log& log) {
  std::error_code ignored;
  if (!resume) {
    write_text_file(path, "");
  } else if (std::filesystem::exists(path, ignored)) {
    drop_after(path, *resume, log);
  }
  file_ = std::make_unique<AppendFile>(path, AppendFile::Mode::kExtend, log);
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(std::string_view event, int64_t step, int64_t tokens,
                          const MetricValues& values) {
  Json record = {
      {"event", event}, {"step", step}, {"tokens", tokens}, {"time", seconds_since_1970()}};
  Json nonfinite = Json::array();
  for (const auto& [name, value] : values) add_value(record, nonfinite, name, value);
  if (!nonfinite.empty()) record["nonfinite"] = nonfinite;
  file_->append(record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void MetricsWriter::sync() { file_->sync(); }

std::vector<Json> read_metrics(const std::filesystem::path& path) {
  std::vector<Json> records;
  for_each_line(path, [&](const std::string& line, int64_t number, bool whole) {
    Json record = parse_record(line);
    if (!record.is_null()) {
      if (whole) records.push_back(std::move(record));
    } else if (whole) {
      throw DataError(cat(path.string(), ":", number, ": isn't a record of a run's metrics"));
    }
  });
  return records;
}

}  // namespace fathom
