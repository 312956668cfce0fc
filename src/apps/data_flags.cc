#include "apps/data_flags.h"

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {

std::vector<Flag> with_read_flags(std::vector<Flag> flags) {
  const std::vector<Flag> reading = {
      {"text-field", "NAME", "field of a JSON document that holds its text (text)"},
      {"on-invalid-utf8", "error|replace|skip", "what to do with invalid UTF-8 (error)"},
      {"max-document-bytes", "N", "longest JSON line that is read (16777216)"}};
  flags.insert(flags.end(), reading.begin(), reading.end());
  return flags;
}

ReadOptions read_options(const Invocation& invocation) {
  ReadOptions options;
  options.text_field = invocation.text("text-field", options.text_field);
  options.on_invalid_utf8 = invocation.text("on-invalid-utf8", options.on_invalid_utf8);
  options.max_document_bytes =
      invocation.integer("max-document-bytes", options.max_document_bytes, 1, 1 << 30);
  const std::vector<std::string> allowed = {"error", "replace", "skip"};
  if (std::find(allowed.begin(), allowed.end(), options.on_invalid_utf8) == allowed.end())
    throw ConfigError(cat("--on-invalid-utf8 is '", options.on_invalid_utf8, "'; allowed: ",
                          join(allowed), did_you_mean(options.on_invalid_utf8, allowed)));
  return options;
}

std::string required_text(const Invocation& invocation, const std::string& flag) {
  std::string value = invocation.text(flag, "");
  if (value.empty()) throw ConfigError(cat("--", flag, " is missing"));
  return value;
}

}  // namespace fathom
