#include "data/tokenizer_json/vocabulary.h"

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom::tokenizer_json {
namespace {

using nlohmann::json;

constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

int32_t checked_id(const Node& id) { return static_cast<int32_t>(id.integer(0, kMaxId)); }

/// A special token is a text, or an object with its text as "content".
std::optional<int32_t> special(const json& config, const char* key, const Ids& ids) {
  if (!config.is_object()) return std::nullopt;
  const json value = config.value(key, json());
  const json token = value.is_object() ? value.value("content", json()) : value;
  const auto found = token.is_string() ? ids.find(token.get<std::string>()) : ids.end();
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

Ids read_ids(const Node& root) {
  Ids ids;
  const Node vocabulary = root.at("model").at("vocab");
  if (vocabulary.value().is_array()) {  // unigram: pairs of piece and score
    int32_t id = 0;
    for (const Node& pair : vocabulary.items()) {
      const std::vector<Node> parts = pair.items();
      if (parts.empty()) pair.reject("a piece and its score");
      ids[parts[0].text()] = id++;
    }
  } else {
    for (const auto& [token, id] : vocabulary.value().items())
      ids[token] =
          checked_id({id, cat(vocabulary.place(), "[", json(token).dump().substr(0, 100), "]")});
  }
  if (const auto added_tokens = root.find("added_tokens")) {
    for (const Node& added : added_tokens->items())
      ids[added.at("content").text()] = checked_id(added.at("id"));
  }
  if (ids.empty()) throw std::invalid_argument("it has no tokens");
  return ids;
}

Vocabulary describe(const Ids& ids, const json& config) {
  Vocabulary vocabulary;
  for (const auto& entry : ids)
    vocabulary.size = std::max<int64_t>(vocabulary.size, int64_t{entry.second} + 1);
  vocabulary.bos = special(config, "bos_token", ids);
  vocabulary.eos = special(config, "eos_token", ids);
  vocabulary.unk = special(config, "unk_token", ids);
  vocabulary.pad = special(config, "pad_token", ids);
  return vocabulary;
}

}  // namespace fathom::tokenizer_json
