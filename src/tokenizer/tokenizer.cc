#include "fathom/tokenizer/tokenizer.h"

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/hash.h"
#include "fathom/base/internal/file_kinds.h"
#include "fathom/base/utf8.h"
#include "tokenizer/engine.h"
#include "tokenizer/sentencepiece_directory.h"
#include "tokenizer/sentencepiece_engine.h"
#include "tokenizer/sentencepiece_json.h"
#include "tokenizer/settings.h"
#include "tokenizer/tiktoken_engine.h"
#include "tokenizer/tokenizer_json/engine.h"

namespace fathom {
namespace {

constexpr uint64_t kMaxModelBytes = uint64_t{64} << 20;
constexpr size_t kCutRange = 4096;    // a cut lies in the last bytes of a part
constexpr size_t kTriesPerKind = 16;  // candidates of each kind before the next kind

/// Where a space or a line break follows something else.
std::vector<size_t> space_starts(std::string_view text, size_t begin, size_t end) {
  const auto is_space = [&](size_t at) { return text[at] == ' ' || text[at] == '\n'; };
  std::vector<size_t> starts;
  for (size_t at = begin; at < end; ++at) {
    if (is_space(at) && !is_space(at - 1)) starts.push_back(at);
  }
  return starts;
}

/// What lies beside a tokenizer, but for a config.json alone beside a model of words: checkpoints
/// have those, and transformers has nothing for them.
std::optional<TokenizerSettings> settings_for(const std::string& bytes,
                                              const std::filesystem::path& path) {
  std::optional<TokenizerSettings> settings = read_tokenizer_settings(path);
  if (settings && settings->only_model_type && !is_tiktoken_file(bytes) &&
      !has_tokenizer_json(parse_sentencepiece_model(bytes, path.string())))
    settings.reset();
  return settings;
}

std::unique_ptr<const TokenizerEngine> make_engine(
    const std::string& bytes, const std::filesystem::path& path,
    const std::optional<TokenizerSettings>& settings) {
  if (path.extension() == ".json") return json_engine(bytes, path, settings);
  if (auto engine = tiktoken_engine(bytes)) return engine;
  if (settings) return sentencepiece_directory_engine(bytes, path.string(), *settings);
  return std::make_unique<const SentencePieceEngine>(bytes, path.string());
}

}  // namespace

struct Tokenizer::State {
  std::string name;
  std::string bytes;
  std::optional<TokenizerSettings> settings;
  std::unique_ptr<const TokenizerEngine> engine;
  std::string checksum;
  Vocabulary vocabulary;

  State(std::string file, const std::filesystem::path& path,
        std::optional<TokenizerSettings> beside)
      : name(path.string()),
        bytes(std::move(file)),
        settings(std::move(beside)),
        engine(make_engine(bytes, path, settings)),
        checksum(sha256(bytes + engine->distinction())),
        vocabulary(engine->vocabulary()) {
    if (!settings) return;
    obey("bos_token", vocabulary.bos);
    obey("eos_token", vocabulary.eos);
    obey("unk_token", vocabulary.unk);
    obey("pad_token", vocabulary.pad);
  }

  /// What the files beside it call a special token is one, whatever its own file says.
  void obey(const char* key, std::optional<int32_t>& id) const {
    const auto named = settings->special.find(key);
    if (named == settings->special.end()) return;
    for (auto other = static_cast<int32_t>(vocabulary.size); other-- > 0;) {
      if (engine->piece(other) != named->second) continue;
      id = other;
      return;
    }
  }

  std::vector<int32_t> ids(std::string_view text, PartStart start) const {
    std::vector<int32_t> ids;
    engine->encode({text, start}, nullptr, ids);
    return ids;
  }

  /// Whether the ids of left + right are those of left and then those of right.
  bool joins(std::string_view left, std::string_view right, PartStart start) const {
    const std::string_view whole(left.data(), left.size() + right.size());
    std::vector<int32_t> apart = ids(left, PartStart::kInside);
    const std::vector<int32_t> after = ids(right, start);
    apart.insert(apart.end(), after.begin(), after.end());
    return apart == ids(whole, PartStart::kInside);
  }
};

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  try {
    std::string bytes = read_text_file(path, kMaxModelBytes);
    std::optional<TokenizerSettings> settings = settings_for(bytes, path);
    return Tokenizer(std::make_shared<const State>(std::move(bytes), path, std::move(settings)));
  } catch (const DiskError& error) {
    throw DataError(cat(error.what(), " (a tokenizer model)"));
  }
}

Tokenizer Tokenizer::from_bytes(std::string bytes, const std::string& name) {
  return Tokenizer(std::make_shared<const State>(std::move(bytes), name, std::nullopt));
}

bool Tokenizer::handles_text() const { return state_->engine->refusal().empty(); }
bool Tokenizer::is_sentencepiece() const { return state_->engine->is_sentencepiece(); }

void Tokenizer::require_text() const {
  if (handles_text()) return;
  const std::filesystem::path folder = std::filesystem::path(name()).parent_path();
  throw DataError(cat("text needs the tokenizer ", name(),
                      ", which Fathom can't run: it is, or has, ", state_->engine->refusal(),
                      ". Write token files and give those instead of text: .venv/bin/python "
                      "scripts/write_token_file.py ",
                      folder.empty() ? "." : folder.string(), " TEXT... --output F.tokens"));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const TextPart& part : parts(text)) encode_part(part, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  require_text();
  for (const int32_t id : ids) require_id(id);
  return state_->engine->decode(ids);
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
  const std::vector<size_t> starts = space_starts(text, begin, kMaxTextPart);
  const size_t few = std::min(starts.size(), kTriesPerKind);
  for (auto at = starts.rbegin(); at != starts.rbegin() + static_cast<ptrdiff_t>(few); ++at) {
    if (const auto cut = try_at(*at)) return *cut;
  }
  const std::string_view seen = text.substr(0, character_start(text, kMaxTextPart + kCutContext));
  if (const auto at = state_->engine->last_word_start(seen, begin, kMaxTextPart))
    return {*at, PartStart::kInside};
  size_t tries = 0;
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
  while (text.size() > state_->engine->longest_text()) {
    const TextCut cut = find_cut(text);
    parts.push_back({text.substr(0, cut.at), start});
    text.remove_prefix(cut.at);
    start = cut.next;
  }
  parts.push_back({text, start});
  return parts;
}

void Tokenizer::encode_part(const TextPart& part, std::vector<int32_t>& ids,
                            WordMemory* words) const {
  require_text();
  if (!part.text.empty()) state_->engine->encode(part, words, ids);
}

bool Tokenizer::stands_alone() const { return !state_->settings; }
std::string Tokenizer::note() const { return state_->engine->note(); }
bool Tokenizer::adds_bos() const { return state_->settings && state_->settings->adds_bos; }

int64_t Tokenizer::vocab_size() const { return state_->vocabulary.size; }
std::optional<int32_t> Tokenizer::bos_id() const { return state_->vocabulary.bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return state_->vocabulary.eos; }
std::optional<int32_t> Tokenizer::unk_id() const { return state_->vocabulary.unk; }
std::optional<int32_t> Tokenizer::pad_id() const { return state_->vocabulary.pad; }

bool Tokenizer::has_piece(int64_t id) const {
  return id >= 0 && id < vocab_size() && !state_->engine->piece(static_cast<int32_t>(id)).empty();
}

void Tokenizer::require_id(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    throw DataError(cat("token id ", id, " isn't in the vocabulary of ", name(), " (0 to ",
                        vocab_size() - 1, ")"));
}

std::string Tokenizer::piece(int32_t id) const {
  require_text();
  require_id(id);
  return state_->engine->piece(id);
}

const std::string& Tokenizer::checksum() const { return state_->checksum; }
const std::string& Tokenizer::bytes() const { return state_->bytes; }
const std::string& Tokenizer::name() const { return state_->name; }

void warn_of_ids(const Tokenizer& tokenizer, const Log& log) {
  if (const std::string note = tokenizer.note(); !note.empty()) log.warn(note);
}

void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  if (tokenizer.vocab_size() > model_vocab_size)
    throw ConfigError(cat("model.vocab_size is ", model_vocab_size, ", but the tokenizer ",
                          tokenizer.name(), " has ", tokenizer.vocab_size(),
                          " pieces; set model.vocab_size to at least that"));
}

void check_fits(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  if (tokenizer.vocab_size() > model_vocab_size)
    throw CheckpointError(cat("the tokenizer ", tokenizer.name(), " has ", tokenizer.vocab_size(),
                              " pieces, but the model beside it only ", model_vocab_size,
                              " ids (vocab_size of its config.json); put the tokenizer there that "
                              "the model was trained with"));
}

}  // namespace fathom
