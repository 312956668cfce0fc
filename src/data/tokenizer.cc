#include "fathom/data/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>

#include "data/model_proto.h"
#include "data/utf8.h"
#include "data/vocabulary_json.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/hash.h"

namespace fathom {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr uint64_t kMaxModelBytes = uint64_t{64} << 20;
constexpr size_t kCutRange = 4096;    // a cut lies in the last bytes of a part
constexpr size_t kTriesPerKind = 16;  // candidates of each kind before the next kind

/// The one place where SentencePiece's status is looked at: it isn't [[nodiscard]].
void check_status(const sentencepiece::util::Status& status, const std::string& name) {
  if (!status.ok()) throw DataError(cat(name, ": SentencePiece: ", status.message()));
}

std::unique_ptr<SentencePieceProcessor> load_processor(const std::string& model,
                                                       const std::string& name) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  check_status(processor->LoadFromSerializedProto(model), name);
  return processor;
}

std::optional<int32_t> if_present(int id) { return id < 0 ? std::nullopt : std::optional(id); }

bool is_space(char c) { return c == ' ' || c == '\n'; }

}  // namespace

struct Tokenizer::State {
  std::string name;
  std::string bytes;
  std::string checksum;
  ModelProtoInfo info;
  JsonVocabulary vocabulary;
  std::unique_ptr<SentencePieceProcessor> with_prefix;  // null: a tokenizer.json
  std::unique_ptr<SentencePieceProcessor> without_prefix;

  void require_text() const {
    if (!with_prefix)
      throw DataError(cat("text needs the tokenizer ", name,
                          ", which Fathom can't run: only SentencePiece models. Write token files "
                          "with scripts/write_token_file.py and give those instead of text"));
  }

  const SentencePieceProcessor& processor(PartStart start) const {
    require_text();
    const bool prefix =
        start == PartStart::kText ? info.add_dummy_prefix : start == PartStart::kSpace;
    return prefix ? *with_prefix : *without_prefix;
  }

  std::vector<int> ids(std::string_view text, PartStart start) const {
    std::vector<int> ids;
    check_status(processor(start).Encode(text, &ids), name);
    return ids;
  }

  /// Whether the ids of left + right are those of left and then those of right.
  bool joins(std::string_view left, std::string_view right, PartStart start) const {
    const std::string_view whole(left.data(), left.size() + right.size());
    std::vector<int> apart = ids(left, PartStart::kInside);
    const std::vector<int> after = ids(right, start);
    apart.insert(apart.end(), after.begin(), after.end());
    return apart == ids(whole, PartStart::kInside);
  }
};

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  try {
    std::string bytes = read_text_file(path, kMaxModelBytes);
    if (path.extension() == ".json") return from_json(std::move(bytes), path);
    return from_bytes(std::move(bytes), path.string());
  } catch (const DiskError& error) {
    throw DataError(cat(error.what(), " (a tokenizer model)"));
  }
}

Tokenizer Tokenizer::from_bytes(std::string bytes, const std::string& name) {
  auto state = std::make_shared<State>();
  state->name = name;
  state->info = check_model_proto(bytes, name);
  state->checksum = sha256(bytes);
  state->with_prefix = load_processor(with_dummy_prefix(bytes, true), name);
  state->without_prefix = load_processor(with_dummy_prefix(bytes, false), name);
  state->bytes = std::move(bytes);
  return Tokenizer(std::move(state));
}

Tokenizer Tokenizer::from_json(std::string bytes, const std::filesystem::path& path) {
  auto state = std::make_shared<State>();
  state->name = path.string();
  state->vocabulary = read_json_vocabulary(bytes, path);
  state->info.num_pieces = static_cast<size_t>(state->vocabulary.size);
  state->checksum = sha256(bytes);
  state->bytes = std::move(bytes);
  return Tokenizer(std::move(state));
}

bool Tokenizer::handles_text() const { return state_->with_prefix != nullptr; }
void Tokenizer::require_text() const { state_->require_text(); }

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const TextPart& part : parts(text)) encode_part(part, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  for (const int32_t id : ids) piece(id);
  std::string text;
  const SentencePieceProcessor& processor = state_->processor(PartStart::kText);
  check_status(processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text), name());
  return text;
}

TextCut Tokenizer::find_cut(std::string_view text) const {
  const size_t begin = kMaxTextPart - kCutRange;
  const auto try_at = [&](size_t at) -> std::optional<TextCut> {
    const size_t from = next_character(text, at - kCutContext);
    const size_t to = character_start(text, at + kCutContext);
    const std::string_view left = text.substr(from, at - from);
    const std::string_view right = text.substr(at, to - at);
    for (const PartStart start : {PartStart::kInside, PartStart::kSpace}) {
      if (state_->joins(left, right, start)) return TextCut{at, start};
    }
    return std::nullopt;
  };
  size_t tries = 0;
  for (size_t at = kMaxTextPart; at-- > begin && tries < kTriesPerKind;) {
    if (!is_space(text[at]) || is_space(text[at - 1])) continue;
    ++tries;
    if (const auto cut = try_at(at)) return *cut;
  }
  tries = 0;
  for (size_t at = kMaxTextPart; at > begin && tries < 4 * kTriesPerKind; --at) {
    if (next_character(text, at) != at) continue;
    ++tries;
    if (const auto cut = try_at(at)) return *cut;
  }
  return {character_start(text, kMaxTextPart), PartStart::kInside};
}

std::vector<TextPart> Tokenizer::parts(std::string_view text) const {
  std::vector<TextPart> parts;
  PartStart start = PartStart::kText;
  while (text.size() > kMaxTextPart) {
    const TextCut cut = find_cut(text);
    parts.push_back({text.substr(0, cut.at), start});
    text.remove_prefix(cut.at);
    start = cut.next;
  }
  parts.push_back({text, start});
  return parts;
}

void Tokenizer::encode_part(const TextPart& part, std::vector<int32_t>& ids) const {
  if (part.text.empty()) return;
  const std::vector<int> encoded = state_->ids(part.text, part.start);
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

bool Tokenizer::has_independent_words() const { return state_->info.independent_words; }

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(state_->info.num_pieces); }
std::optional<int32_t> Tokenizer::bos_id() const {
  return handles_text() ? if_present(state_->with_prefix->bos_id()) : state_->vocabulary.bos;
}
std::optional<int32_t> Tokenizer::eos_id() const {
  return handles_text() ? if_present(state_->with_prefix->eos_id()) : state_->vocabulary.eos;
}
std::optional<int32_t> Tokenizer::unk_id() const {
  return handles_text() ? if_present(state_->with_prefix->unk_id()) : state_->vocabulary.unk;
}
std::optional<int32_t> Tokenizer::pad_id() const {
  return handles_text() ? if_present(state_->with_prefix->pad_id()) : state_->vocabulary.pad;
}

std::string Tokenizer::piece(int32_t id) const {
  require_text();
  if (id < 0 || id >= vocab_size())
    throw DataError(cat("token id ", id, " isn't in the vocabulary of ", name(), " (0 to ",
                        vocab_size() - 1, ")"));
  return state_->with_prefix->IdToPiece(id);
}

const std::string& Tokenizer::checksum() const { return state_->checksum; }
const std::string& Tokenizer::bytes() const { return state_->bytes; }
const std::string& Tokenizer::name() const { return state_->name; }

void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  if (tokenizer.vocab_size() > model_vocab_size)
    throw ConfigError(cat("model.vocab_size is ", model_vocab_size, ", but the tokenizer ",
                          tokenizer.name(), " has ", tokenizer.vocab_size(),
                          " pieces; set model.vocab_size to at least that"));
}

}  // namespace fathom
