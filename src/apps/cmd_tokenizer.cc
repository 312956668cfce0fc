#include <cstdint>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>

#include "apps/commands.h"
#include "apps/data_flags.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/base/json.h"
#include "fathom/base/number.h"
#include "fathom/data/find_files.h"
#include "fathom/data/prepare.h"
#include "fathom/data/train_tokenizer.h"

namespace fathom {
namespace {

const Flag kTokenizerFlag{"tokenizer", "FILE", "SentencePiece .model file"};

int train(Invocation& invocation) {
  TokenizerOptions options;
  const std::string output = required_text(invocation, "output");
  options.vocab_size = invocation.integer("vocab-size", options.vocab_size, 1, INT32_MAX);
  options.type = invocation.text("type", options.type);
  options.character_coverage =
      invocation.number("character-coverage", options.character_coverage, 0, 1);
  options.pad = invocation.has("pad");
  options.sample_bytes =
      invocation.integer("sample-bytes", options.sample_bytes, 1, int64_t{1} << 30);
  options.read = read_options(invocation);
  const std::vector<DataFile> files = find_files(invocation.arguments(), &invocation.log());
  Progress progress("read text", static_cast<double>(total_bytes(files)));
  const Tokenizer tokenizer =
      train_tokenizer(files, options, resolve_output(output), &progress, invocation.stop());
  const Json facts = {
      {"output", output}, {"vocab_size", tokenizer.vocab_size()}, {"sha256", tokenizer.checksum()}};
  invocation.print(invocation.has("json") ? json_text(facts)
                                          : cat(output, ": ", tokenizer.vocab_size(), " pieces\n"));
  return 0;
}

/// Turns each line of stdin into a line of stdout.
template <typename Convert>
int convert_lines(const Invocation& invocation, const Convert& convert) {
  constexpr size_t kBufferBytes = size_t{64} << 10;
  std::string out;
  for (std::string line; std::getline(std::cin, line);) {
    invocation.stop().check();
    out += convert(line);
    out += '\n';
    if (out.size() < kBufferBytes) continue;
    invocation.print(out);
    out.clear();
  }
  invocation.print(out);
  return 0;
}

Tokenizer load(const Invocation& invocation) {
  Tokenizer tokenizer = Tokenizer::load(required_text(invocation, "tokenizer"));
  warn_of_ids(tokenizer, invocation.log());
  return tokenizer;
}

int encode(Invocation& invocation) {
  const Tokenizer tokenizer = load(invocation);
  return convert_lines(invocation, [&](const std::string& line) {
    std::vector<std::string> ids;
    for (const int32_t id : tokenizer.encode(line)) ids.push_back(std::to_string(id));
    return join(ids, " ");
  });
}

int decode(Invocation& invocation) {
  const Tokenizer tokenizer = load(invocation);
  return convert_lines(invocation, [&](const std::string& line) {
    std::vector<int32_t> ids;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      std::string advice;
      const std::optional<int64_t> id = parse_integer(word, advice);
      if (!id || *id < 0 || *id >= tokenizer.vocab_size())
        throw DataError(cat("'", word, "' is not a token id of ", tokenizer.name(), " (0 to ",
                            tokenizer.vocab_size() - 1, ")"));
      ids.push_back(static_cast<int32_t>(*id));
    }
    return tokenizer.decode(ids);
  });
}

int checksum(Invocation& invocation) {
  const Tokenizer tokenizer = Tokenizer::load(required_text(invocation, "tokenizer"));
  invocation.print(tokenizer.checksum() + "\n");
  return 0;
}

}  // namespace

Command tokenizer_train_command() {
  return {.name = "tokenizer train",
          .summary = "makes a SentencePiece tokenizer from text files, folders or globs",
          .usage = "FILE... --output F.model [--vocab-size N] [--type bpe|unigram]",
          .example = "train-llm tokenizer train books/ --vocab-size 8000 --output books.model",
          .min_arguments = 1,
          .max_arguments = SIZE_MAX,
          .computes = true,
          .flags = with_read_flags(
              {{"output", "FILE", "the model that is written"},
               {"vocab-size", "N", "pieces (32000)"},
               {"type", "bpe|unigram", "kind of model (bpe, as Llama has it)"},
               {"character-coverage", "SHARE", "of the text whose characters get pieces (0.9995)"},
               {"pad", "", "add a <pad> piece, id 3"},
               {"sample-bytes", "N", "text that training looks at (67108864)"},
               {"json", "", "print JSON"}}),
          .memory_advice = "lower --sample-bytes",
          .run = train};
}

Command tokenizer_encode_command() {
  return {.name = "tokenizer encode",
          .summary = "turns each line of stdin into a line of token ids",
          .usage = "--tokenizer FILE",
          .example = "echo hello | train-llm tokenizer encode --tokenizer books.model",
          .computes = true,
          .flags = {kTokenizerFlag},
          .run = encode};
}

Command tokenizer_decode_command() {
  return {.name = "tokenizer decode",
          .summary = "turns each line of token ids on stdin into a line of text",
          .usage = "--tokenizer FILE",
          .example = "echo 12 345 | train-llm tokenizer decode --tokenizer books.model",
          .computes = true,
          .flags = {kTokenizerFlag},
          .run = decode};
}

Command tokenizer_checksum_command() {
  return {.name = "tokenizer checksum",
          .summary = "prints what token files name their tokenizer by",
          .usage = "--tokenizer FILE",
          .example = "train-llm tokenizer checksum --tokenizer qwen/tokenizer.json",
          .flags = {kTokenizerFlag},
          .run = checksum};
}

}  // namespace fathom
