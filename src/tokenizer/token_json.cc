#include "tokenizer/token_json.h"

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"

namespace fathom {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;
constexpr size_t kMaxShown = 60;  // bytes of a value in a message

std::string shown(const SortedJson& value) {
  const std::string text =
      value.dump(-1, ' ', /*ensure_ascii=*/true, SortedJson::error_handler_t::replace);
  return text.size() <= kMaxShown ? text : cat(text.substr(0, kMaxShown), "...");
}

}  // namespace

template <typename AnyJson>
AnyJson read_tokenizer_json(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return nullptr;
  try {
    return AnyJson::parse(read_text_file(path, kMaxBytes));
  } catch (const SortedJson::exception& error) {
    throw DataError(
        cat(path.string(), " isn't JSON: ", json_reason(error), "; download or copy it again"));
  }
}

template SortedJson read_tokenizer_json(const std::filesystem::path& path);
template Json read_tokenizer_json(const std::filesystem::path& path);

bool flag(const SortedJson& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_boolean() ? fallback : found->get<bool>();
}

std::string text(const SortedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_string() ? "" : found->get<std::string>();
}

bool is_token(const SortedJson& value) {
  return value.is_string() || (value.is_object() && value.contains("content"));
}

AddedToken to_token(const SortedJson& value, const std::string& where) {
  if (value.is_string()) return {.id = -1, .content = value.get<std::string>(), .special = true};
  if (!is_token(value) || !value.at("content").is_string())
    throw DataError(cat(where, " is ", shown(value),
                        "; allowed: a token's text, or an object with its text as \"content\""));
  const bool special = flag(value, "special", false);
  return {.id = -1,
          .content = value.at("content").get<std::string>(),
          .single_word = flag(value, "single_word", false),
          .lstrip = flag(value, "lstrip", false),
          .rstrip = flag(value, "rstrip", false),
          .normalized = flag(value, "normalized", !special),
          .special = special};
}

int64_t to_id(const SortedJson& value, const std::string& where) {
  if (value.is_number_unsigned() && value.get<uint64_t>() <= kMaxId) return value.get<int64_t>();
  throw DataError(
      cat(where, " is ", shown(value), "; allowed: a token id, a number from 0 to ", kMaxId));
}

int64_t to_id(const std::string& key, const std::string& where) {
  const bool is_number =
      !key.empty() && key.size() <= 8 &&
      std::all_of(key.begin(), key.end(), [](const char c) { return c >= '0' && c <= '9'; });
  return to_id(is_number ? SortedJson(std::stoull(key)) : SortedJson(key), where);
}

}  // namespace fathom
