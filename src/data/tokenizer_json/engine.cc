#include "data/tokenizer_json/engine.h"

#include "data/tokenizer_json/node.h"
#include "data/tokenizer_json/vocabulary.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"

namespace fathom {
namespace {

using nlohmann::json;
namespace tj = tokenizer_json;

constexpr uint64_t kMaxConfigBytes = 4 << 20;

class JsonEngine : public TokenizerEngine {
 public:
  explicit JsonEngine(Vocabulary vocabulary) : vocabulary_(vocabulary) {}

  std::string refusal() const override { return "a tokenizer.json"; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  void encode(const TextPart&, WordMemory*, std::vector<int32_t>&) const override {}
  std::string decode(std::span<const int32_t>) const override { return ""; }
  std::string piece(int32_t) const override { return ""; }
  std::vector<size_t> word_starts(std::string_view, size_t, size_t) const override { return {}; }

 private:
  Vocabulary vocabulary_;
};

/// Reads a file's JSON and hands it on; what is wrong with it is a DataError that names the file.
template <typename Read>
auto from_json_text(const std::filesystem::path& path, const std::string& text, const Read& read) {
  try {
    const json value = tj::parse(text);
    return read(value);
  } catch (const std::invalid_argument& error) {
    throw DataError(cat(path.string(), ": ", error.what()));
  } catch (const json::exception& error) {
    throw DataError(cat(path.string(), ": ", error.what()));
  }
}

}  // namespace

std::unique_ptr<const TokenizerEngine> json_engine(const std::string& text,
                                                   const std::filesystem::path& path) {
  const std::filesystem::path beside = path.parent_path() / "tokenizer_config.json";
  json config;
  if (std::filesystem::exists(beside))
    config = from_json_text(beside, read_text_file(beside, kMaxConfigBytes),
                            [](const json& value) { return value; });
  return from_json_text(path, text, [&](const json& root) {
    const tj::Ids ids = tj::read_ids({root, ""});
    return std::make_unique<const JsonEngine>(tj::describe(ids, config));
  });
}

}  // namespace fathom
