#include "tokenizer/tokenizer_json/vocabulary.h"

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom::tokenizer_json {
namespace {

using nlohmann::json;

constexpr size_t kMaxShown = 60;  // bytes of a token in a message
constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

}  // namespace

int32_t token_id(const Node& vocabulary, const std::string& token, const json& id) {
  if (id.is_number_unsigned() && id.get<uint64_t>() <= kMaxId) return id.get<int32_t>();
  const json name = token.substr(0, character_start(token, kMaxShown));
  Node(id, cat(vocabulary.place(), "[", name.dump(-1, ' ', /*ensure_ascii=*/true), "]"))
      .reject(cat("from 0 to ", kMaxId));
}

Ids read_ids(const Node& root) {
  Ids ids;
  const Node vocabulary = root.at("model").at("vocab");
  if (!vocabulary.value().is_object()) {  // unigram: pairs of piece and score
    int32_t id = 0;
    for (const Node& pair : vocabulary.items()) {
      const std::vector<Node> parts = pair.items();
      if (parts.empty()) pair.reject("a piece and its score");
      ids[parts[0].text()] = id++;
    }
  } else {
    for (const auto& [token, id] : vocabulary.value().items())
      ids[token] = token_id(vocabulary, token, id);
  }
  if (const auto added_tokens = root.find("added_tokens")) {
    for (const Node& added : added_tokens->items())
      ids[added.at("content").text()] = static_cast<int32_t>(added.at("id").integer(0, kMaxId));
  }
  if (ids.empty()) throw std::invalid_argument("it has no tokens");
  return ids;
}

std::vector<AddedToken> read_added(const Node& root) {
  std::vector<AddedToken> tokens;
  const auto added_tokens = root.find("added_tokens");
  for (const Node& added : added_tokens ? added_tokens->items() : std::vector<Node>()) {
    const bool special = added.boolean("special", false);
    tokens.push_back({.id = static_cast<int32_t>(added.at("id").integer(0, kMaxId)),
                      .content = added.at("content").text(),
                      .single_word = added.boolean("single_word", false),
                      .lstrip = added.boolean("lstrip", false),
                      .rstrip = added.boolean("rstrip", false),
                      .normalized = added.boolean("normalized", !special),
                      .special = special});
  }
  return tokens;
}

int64_t size_of(const Ids& ids) {
  int64_t size = 0;
  for (const auto& entry : ids) size = std::max(size, int64_t{entry.second} + 1);
  return size;
}

}  // namespace fathom::tokenizer_json
