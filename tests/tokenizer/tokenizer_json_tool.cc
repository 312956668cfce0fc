// tokenizer_json_tool encode|cut|decode FILE: turns each line of stdin, a JSON text or a list of
// ids, into a line of JSON, for tests/oracles/tokenizer_json_oracle.py.
#include <iostream>
#include <string>

#include "data/encoder.h"
#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {
namespace {

Json encoded(const Tokenizer& tokenizer, Encoder& encoder, const std::string& text) {
  std::vector<int32_t> ids;
  encoder.encode(text, ids);
  if (ids != tokenizer.encode(text)) throw DataError("a memory of words changes the ids");
  return ids;
}

/// Cut as a text file is that is read part by part.
Json encoded_in_parts(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  for (TextPart part; !text.empty(); text.remove_prefix(part.text.size())) {
    const PartStart start = part.text.empty() ? PartStart::kText : PartStart::kInside;
    const size_t size = text.size() > kMaxTextPart ? tokenizer.find_cut(text).at : text.size();
    part = {text.substr(0, size), start};
    tokenizer.encode_part(part, ids);
  }
  return ids;
}

int run(const std::string& mode, const std::string& file) {
  const Tokenizer tokenizer = Tokenizer::load(file);
  Encoder encoder(tokenizer);
  for (std::string line; std::getline(std::cin, line);) {
    const Json input = Json::parse(line);
    Json output;
    if (mode == "encode") output = encoded(tokenizer, encoder, input.get<std::string>());
    if (mode == "cut") output = encoded_in_parts(tokenizer, input.get<std::string>());
    if (mode == "decode") output = tokenizer.decode(input.get<std::vector<int32_t>>());
    std::cout << output.dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  try {
    return argc == 3 ? fathom::run(argv[1], argv[2]) : 2;
  } catch (const fathom::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
