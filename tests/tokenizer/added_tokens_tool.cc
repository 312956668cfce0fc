// Splits texts by added tokens, for added_tokens_oracle.py: each line of stdin is
// {"tokens": [...], "texts": [...]}, each line of stdout the stretches of its texts.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/added_tokens.h"

namespace {

using Json = nlohmann::json;

fathom::AddedToken to_token(const Json& row) {
  return {row.at("id"),     row.at("content"),    row.at("single_word"), row.at("lstrip"),
          row.at("rstrip"), row.at("normalized"), row.at("special")};
}

Json to_json(const std::vector<fathom::Stretch>& stretches) {
  Json rows = Json::array();
  for (const auto& [text, token] : stretches)
    rows.push_back({token == nullptr ? -1 : token->id, std::string(text)});
  return rows;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const Json asked = Json::parse(line);
    std::vector<fathom::AddedToken> tokens;
    for (const Json& row : asked.at("tokens")) tokens.push_back(to_token(row));
    const fathom::AddedTokens added(tokens);
    Json answers = Json::array();
    for (const Json& text : asked.at("texts"))
      answers.push_back(to_json(added.split(text.get<std::string>())));
    std::cout << answers.dump() << "\n";
  }
}
