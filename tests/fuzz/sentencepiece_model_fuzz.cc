// A SentencePiece model: what passes the check is safe to load, to encode with, and to turn into
// tokenizer.json.
#include "fathom/base/error.h"
#include "fathom/tokenizer/tokenizer.h"
#include "fathom/tokenizer/tokenizer_files.h"
#include "fuzz/fuzz.h"
#include "tokenizer/sentencepiece_model.h"

namespace fathom {

void fuzz_one(std::string_view input) {
  try {
    const Tokenizer tokenizer = Tokenizer::from_bytes(std::string(input), "x.model");
    const SentencePieceModel model = parse_sentencepiece_model(input, "x.model");
    promise(static_cast<size_t>(tokenizer.vocab_size()) == model.pieces.size(),
            "the library sees the same pieces");
    tokenizer.decode(tokenizer.encode("ab\xC3\xA9 the kern\n\n  \xF0\x9F\x98\x80 \xFF"));
    sentencepiece_files(input, {}, 64);
  } catch (const DataError&) {
  } catch (const CheckpointError&) {
  }
}

}  // namespace fathom
