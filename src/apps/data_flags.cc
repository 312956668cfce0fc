#include "apps/data_flags.h"

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {

std::string one_of(const Invocation& invocation, const std::string& flag,
                   const std::string& fallback, const std::vector<std::string>& allowed) {
  std::string value = invocation.text(flag, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    throw ConfigError(cat("--", flag, " is '", value, "'; allowed: ", join(allowed),
                          did_you_mean(value, allowed)));
  return value;
}

std::vector<Flag> with_read_flags(std::vector<Flag> flags) {
  const std::vector<Flag> reading = {
      {"text-field", "NAME", "field of a JSON document that holds its text (text)"},
      {"on-missing-text", "error|skip", "what to do with a JSON document without a text (error)"},
      {"on-invalid-utf8", "error|replace|skip", "what to do with invalid UTF-8 (error)"},
      {"max-document-bytes", "N", "longest JSON line that is read (16777216)"}};
  flags.insert(flags.end(), reading.begin(), reading.end());
  return flags;
}

ReadOptions read_options(const Invocation& invocation, ReadOptions options) {
  options.names = SettingNames::flags;
  options.text_field = invocation.text("text-field", options.text_field);
  options.on_missing_text =
      one_of(invocation, "on-missing-text", options.on_missing_text, {"error", "skip"});
  options.on_invalid_utf8 =
      one_of(invocation, "on-invalid-utf8", options.on_invalid_utf8, {"error", "replace", "skip"});
  options.max_document_bytes =
      invocation.integer("max-document-bytes", options.max_document_bytes, 1, 1 << 30);
  return options;
}

std::string required_text(const Invocation& invocation, const std::string& flag) {
  std::string value = invocation.text(flag, "");
  if (value.empty()) throw ConfigError(cat("--", flag, " is missing"));
  return value;
}

}  // namespace fathom
