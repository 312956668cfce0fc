// tokenizer.json of Hugging Face's tokenizers: what is accepted is safe to encode with.
#include "fathom/base/error.h"
#include "fathom/tokenizer/tokenizer.h"
#include "fuzz/fuzz.h"

namespace fathom {

void fuzz_one(std::string_view input) {
  const std::string path = folder().write("tokenizer.json", input);
  try {
    const Tokenizer tokenizer = Tokenizer::load(path);
    promise(tokenizer.vocab_size() > 0, "a tokenizer has ids");
    if (!tokenizer.handles_text()) return;
    const std::vector<int32_t> ids =
        tokenizer.encode("ab\xC3\xA9 the kern 1234's\n\n  \xF0\x9F\x98\x80 <s>\xFF");
    for (const int32_t id : ids)
      promise(id >= 0 && id < tokenizer.vocab_size(), "ids are in the vocabulary");
    tokenizer.decode(ids);
  } catch (const DataError&) {
  }
}

}  // namespace fathom
