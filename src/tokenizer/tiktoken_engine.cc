#include "tokenizer/tiktoken_engine.h"

#include <algorithm>

#include "fathom/base/internal/file_kinds.h"

namespace fathom {
namespace {

class TiktokenEngine : public TokenizerEngine {
 public:
  explicit TiktokenEngine(int64_t num_ranks) { vocabulary_.size = num_ranks; }

  std::string refusal() const override {
    return "a tiktoken file (its tokenizer.json, put beside it, is used instead)";
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  void encode(const TextPart&, WordMemory*, std::vector<int32_t>&) const override {}
  std::string decode(std::span<const int32_t>) const override { return ""; }
  std::string piece(int32_t) const override { return ""; }

 private:
  Vocabulary vocabulary_;
};

}  // namespace

std::unique_ptr<const TokenizerEngine> tiktoken_engine(std::string_view file) {
  if (!is_tiktoken_file(file)) return nullptr;
  return std::make_unique<const TiktokenEngine>(std::count(file.begin(), file.end(), '\n') +
                                                (file.ends_with('\n') ? 0 : 1));
}

}  // namespace fathom
