#include "data/vocabulary_json.h"

#include <map>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/file.h"

namespace fathom {
namespace {

// Sorted, not in order: a vocabulary has 100,000 keys and more.
using SortedJson = nlohmann::json;
using Ids = std::map<std::string, int64_t>;

constexpr uint64_t kMaxConfigBytes = 4 << 20;

int64_t checked_id(const SortedJson& id, const std::string& token) {
  const int64_t value = id.is_number_integer() ? id.get<int64_t>() : -1;
  if (value < 0 || value > INT32_MAX)
    throw std::invalid_argument(cat("token ", SortedJson(token).dump().substr(0, 100), " has id ",
                                    id.dump().substr(0, 100), "; allowed: from 0 to ", INT32_MAX));
  return value;
}

Ids read_ids(const SortedJson& root) {
  Ids ids;
  const SortedJson& vocabulary = root.at("model").at("vocab");
  if (vocabulary.is_array()) {  // unigram: pairs of piece and score
    for (size_t i = 0; i < vocabulary.size(); ++i)
      ids[vocabulary[i].at(0).get<std::string>()] = static_cast<int64_t>(i);
  } else {
    for (const auto& [token, id] : vocabulary.items()) ids[token] = checked_id(id, token);
  }
  if (root.contains("added_tokens")) {
    for (const SortedJson& added : root.at("added_tokens")) {
      const auto token = added.at("content").get<std::string>();
      ids[token] = checked_id(added.at("id"), token);
    }
  }
  if (ids.empty()) throw std::invalid_argument("has no tokens");
  return ids;
}

/// A special token is a text, or an object with its text as "content".
std::optional<int32_t> special(const SortedJson& config, const char* key, const Ids& ids) {
  const SortedJson value = config.value(key, SortedJson());
  const SortedJson token = value.is_object() ? value.value("content", SortedJson()) : value;
  const auto found = token.is_string() ? ids.find(token.get<std::string>()) : ids.end();
  return found == ids.end() ? std::nullopt : std::optional(static_cast<int32_t>(found->second));
}

}  // namespace

JsonVocabulary read_json_vocabulary(const std::string& text, const std::filesystem::path& path) {
  std::filesystem::path file = path;
  try {
    const Ids ids = read_ids(SortedJson::parse(text));
    JsonVocabulary vocabulary;
    for (const auto& entry : ids) vocabulary.size = std::max(vocabulary.size, entry.second + 1);
    file = path.parent_path() / "tokenizer_config.json";
    if (!std::filesystem::exists(file)) return vocabulary;
    const SortedJson config = SortedJson::parse(read_text_file(file, kMaxConfigBytes));
    vocabulary.bos = special(config, "bos_token", ids);
    vocabulary.eos = special(config, "eos_token", ids);
    vocabulary.unk = special(config, "unk_token", ids);
    vocabulary.pad = special(config, "pad_token", ids);
    return vocabulary;
  } catch (const std::invalid_argument& error) {
    throw DataError(cat(file.string(), ": ", error.what()));
  } catch (const SortedJson::exception& error) {
    throw DataError(cat(file.string(), " isn't a tokenizer's JSON: ", error.what()));
  }
}

}  // namespace fathom
