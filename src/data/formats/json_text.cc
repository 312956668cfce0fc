// The text in a JSON object.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "data/formats/json.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr int kMaxDepth = 1000;  // as deep as Python's json writes and reads

/// How a line that isn't JSON may be mended, as far as where its first value ends tells.
std::string mending(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r\n";
  size_t depth = 0, end = 0;
  bool in_text = false;
  for (size_t i = 0; i < line.size() && end == 0; ++i) {
    const char c = line[i];
    if (in_text && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_text = !in_text;
    } else if (!in_text && (c == '{' || c == '[')) {
      ++depth;
    } else if (!in_text && (c == '}' || c == ']') && depth > 0 && --depth == 0) {
      end = i + 1;
    }
  }
  const size_t next = line.find_first_not_of(kBlanks, end);
  const size_t last = line.find_last_not_of(kBlanks);
  const bool goes_on = end == 0 && !in_text && depth > 0 &&
                       std::string_view("{[,").find(line[last]) != std::string_view::npos;
  const bool has_second = end > 0 && next != line.npos && (line[next] == '{' || line[next] == '[');
  if (goes_on || has_second)
    return "one object a line is needed: jq -c . FILE > FILE.jsonl writes them so";
  if (end > 0 && next == last && line[next] == ',')
    return "sed 's/,[[:space:]]*$//' FILE > FILE.jsonl takes the commas from ends of lines";
  return "one object a line is needed: mend the line, or leave it out";
}

/// Keeps one text field of the outermost object and nothing else.
class FieldHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  FieldHandler(const std::string& json, const ReadOptions& options)
      : json_(json),
        options_(options),
        field_(options.text_field),
        skip_(options.on_missing_text == "skip") {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("true or false"); }
  bool number_integer(number_integer_t) override { return value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return value("a number"); }
  bool binary(binary_t&) override { return false; }  // no such thing in a text
  bool string(string_t& text) override {
    if (depth_ != 1 || !wanted_) return value("a text");
    text_ = std::move(text);
    wanted_ = false;
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 2 && !open_list_.empty()) list_ = open_list_;
    return (depth_ == 0 || value("an object")) && open();
  }
  bool start_array(std::size_t) override {
    if (depth_ == 1) open_list_ = last_key_;
    return value("a list") && open();
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    wanted_ = name == field_;
    last_key_ = name.substr(0, 32);
    if (wanted_ && seen_)
      return reject(cat("has the field '", field_, "' twice; keep one: jq -c . keeps the last"));
    seen_ = seen_ || wanted_;
    if (fields_.size() < 8) fields_.push_back(last_key_);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    invalid_ = true;
    return reject(cat("is not valid JSON (at byte ", position, "); ", mending(json_)));
  }

  /// Whether the text isn't JSON at all.
  bool is_invalid() const { return invalid_; }

  /// @throws std::invalid_argument with the reason when the document isn't as it should be
  std::optional<std::string> take(bool parsed) {
    if (!parsed) throw std::invalid_argument(reason_);
    if (text_) return std::move(*text_);
    if (skip_) return std::nullopt;
    if (!wrong_.empty())
      throw std::invalid_argument(cat(
          "has a field '", field_, "' that isn't a text but ", wrong_,
          wrong_ == "an object" ? std::string("; pandas writes an object a line with to_json(FILE, "
                                              "orient='records', lines=True)")
                                : cat("; ", options_.setting("on_missing_text", "skip"),
                                      " leaves such documents out")));
    const std::string set_field = cat("set ", options_.setting("text_field"));
    const std::string advice =
        list_.empty() ? cat(set_field, ", or ", options_.setting("on_missing_text", "skip"))
                      : cat("if its documents are in '", list_, "': jq -c '.[\"", list_,
                            "\"][]' FILE > FILE.jsonl; or ", set_field);
    throw std::invalid_argument(
        cat("has no field '", field_, "' (it has: ", join(fields_), "); ", advice));
  }

 private:
  bool reject(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  /// A value that isn't the text.
  bool value(const char* kind) {
    if (depth_ == 0)
      return (kind == std::string_view("null") && skip_) ||
             reject(cat("is not an object but ", kind, "; a JSON object with the field '", field_,
                        "' is needed"));
    if (depth_ == 1 && wanted_) wrong_ = kind;
    if (depth_ == 1) wanted_ = false;
    return true;
  }
  bool open() {
    return ++depth_ <= kMaxDepth || reject(cat("has more than ", kMaxDepth, " levels of nesting"));
  }
  bool close() {
    if (--depth_ == 1) open_list_.clear();
    return true;
  }

  const std::string& json_;
  const ReadOptions& options_;
  const std::string& field_;
  bool skip_;
  std::optional<std::string> text_;
  std::string wrong_;  // what the field holds instead
  std::vector<std::string> fields_;
  std::string last_key_;
  std::string open_list_;  // the field whose list is being read
  std::string list_;       // a field that holds a list of objects
  std::string reason_;
  int depth_ = 0;
  bool wanted_ = false;
  bool seen_ = false;
  bool invalid_ = false;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes the digits at the front. @returns whether there were any
bool take_digits(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const auto count = static_cast<size_t>(end - text.begin());
  text.remove_prefix(count);
  return count > 0;
}

/// A number of JSON's grammar and any size, or one of Python's words for what isn't one.
bool is_number(std::string_view text) {
  if (text == "NaN") return true;
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text == "Infinity") return true;
  if (text.size() > 1 && text[0] == '0' && is_digit(text[1])) return false;
  if (!take_digits(text)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!take_digits(text)) return false;
  }
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return take_digits(text) && text.empty();
}

/// JSON with null for what Python's json writes and takes beyond the standard, and for numbers that
/// no double holds. Only the text matters, so nothing is lost.
std::string without_odd_numbers(const std::string& json) {
  std::string plain;
  for (size_t at = 0; at < json.size();) {
    size_t end = at + 1;
    if (json[at] == '"') {
      while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, json.size());
    } else if (std::string_view("-0123456789NI").find(json[at]) != std::string_view::npos) {
      end = std::min(json.find_first_not_of("+-.0123456789eEINafinty", at), json.size());
      if (is_number(std::string_view(json).substr(at, end - at))) {
        plain += "null";
        at = end;
        continue;
      }
    }
    plain.append(json, at, end - at);
    at = end;
  }
  return plain;
}

}  // namespace

std::optional<std::string> text_of_json(const std::string& json, const ReadOptions& options) {
  FieldHandler handler(json, options);
  const bool parsed = nlohmann::json::sax_parse(json, &handler);
  if (!handler.is_invalid()) return handler.take(parsed);
  const std::string plain = without_odd_numbers(json);
  FieldHandler lenient(plain, options);
  if (nlohmann::json::sax_parse(plain, &lenient)) return lenient.take(true);
  return handler.take(false);
}

}  // namespace fathom
