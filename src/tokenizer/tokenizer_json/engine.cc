#include "tokenizer/tokenizer_json/engine.h"

#include <algorithm>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/tokenizer_json/bpe.h"
#include "tokenizer/tokenizer_json/decoder.h"
#include "tokenizer/tokenizer_json/node.h"
#include "tokenizer/tokenizer_json/normalizer.h"
#include "tokenizer/tokenizer_json/pre_tokenizer.h"
#include "tokenizer/tokenizer_json/vocabulary.h"

namespace fathom {
namespace {

using nlohmann::json;
namespace tj = tokenizer_json;

constexpr size_t kMaxWholeText = size_t{1} << 20;  // longer ones cost a pattern too many steps

/// Everything between text and ids.
struct TextParts {
  tj::Normalizer normalizer;
  tj::PreTokenizer pre_tokenizer;
  tj::Bpe model;
  tj::Decoder decoder;

  explicit TextParts(const tj::Node& root) {
    const tj::Node model_node = root.at("model");
    // Files of 2021 don't say their type: theirs is BPE where they have merges.
    if (model_node.text("type", model_node.find("merges") ? "BPE" : "?") != "BPE")
      model_node.at("type").refuse();
    if (const auto node = root.find("normalizer")) normalizer = tj::Normalizer(*node);
    if (const auto node = root.find("pre_tokenizer")) pre_tokenizer = tj::PreTokenizer(*node);
    if (const auto node = root.find("decoder")) decoder = tj::Decoder(*node);
    model = tj::Bpe(model_node, pre_tokenizer.gives_bytes());
  }
};

/// Gives each word to the model.
class WordEncoder : public tj::PieceSink {
 public:
  WordEncoder(const tj::Bpe& model, WordMemory* words, std::vector<int32_t>& ids)
      : model_(&model), words_(words), ids_(&ids) {}
  void take(const tj::Piece& piece) override { model_->encode(piece.text, words_, *ids_); }

 private:
  const tj::Bpe* model_;
  WordMemory* words_;
  std::vector<int32_t>* ids_;
};

/// Notes where words begin, as long as they lie in the text itself.
class WordStarts : public tj::PieceSink {
 public:
  explicit WordStarts(std::string_view text) : text_(text) {}
  void take(const tj::Piece& piece) override {
    if (std::less_equal<>()(text_.data(), piece.text.data()) &&
        std::less<>()(piece.text.data(), text_.data() + text_.size()))
      starts_.push_back(static_cast<size_t>(piece.text.data() - text_.data()));
  }
  const std::vector<size_t>& starts() const { return starts_; }

 private:
  std::string_view text_;
  std::vector<size_t> starts_;
};

/// The added tokens of a file, and those that the files beside it add: with the id of the token
/// that they are, or one after all others. What the model has no id for stays text.
/// @param ids gets the new ones
std::vector<AddedToken> all_added(const tj::Node& root, const TokenizerSettings* settings,
                                  tj::Ids& ids) {
  if (settings == nullptr) return tj::read_added(root);
  int64_t next = tj::size_of(ids);
  std::vector<AddedToken> tokens;
  for (AddedToken token : settings->tokens) {
    if (settings->split_special_tokens && token.special) continue;
    if (!ids.contains(token.content)) {
      if (next >= settings->model_size) continue;
      ids[token.content] = static_cast<int32_t>(next++);
    }
    token.id = ids[token.content];
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// What decides the ids of a text.
std::string shown(const AddedTokens& added) {
  std::string text;
  for (const auto& [id, token] : added.tokens())
    text += cat(id, " ", token.single_word, token.lstrip, token.rstrip, token.normalized, " ",
                token.content, "\n");
  return text;
}

/// A tokenizer.json as transformers takes it.
struct TakenJson {
  json root;
  std::string changes;  ///< which parts are others than the file's
};

TakenJson taken(json file, const TokenizerSettings* settings) {
  if (settings == nullptr || settings->obeys_json()) return {std::move(file), ""};
  const SpaceBefore& space = settings->space;
  const char* scheme = space.where == SpaceBefore::Where::kNowhere ? "never"
                       : space.where == SpaceBefore::Where::kText  ? "first"
                                                                   : "always";
  const auto parts = [](const json& root) {
    json shown = {root.value("normalizer", json()), root.value("pre_tokenizer", json())};
    for (const char* key : {"byte_fallback", "fuse_unk", "ignore_merges"})
      shown.push_back(root.at("model").value(key, json(false)));
    return shown.dump();
  };
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object())
    return {std::move(file), ""};
  const std::string before = parts(file);
  rebuild(settings->auto_class.built_as, scheme, file);
  const std::string after = parts(file);
  return {std::move(file), before == after ? "" : after};
}

class JsonEngine : public TokenizerEngine {
 public:
  /// @param path for messages
  JsonEngine(const tj::Node& file, const std::string& path, const TokenizerSettings* settings) {
    const TakenJson made = taken(file.value(), settings);
    const tj::Node root(made.root, "");
    if (!made.changes.empty())
      note_ =
          cat(path, ": the ids are those of transformers 5, whose AutoTokenizer makes a ",
              settings->auto_class.name,
              " of its vocabulary, with rules of its own for spaces; "
              "transformers 4 and the tokenizers library obey the file, and so does Fathom with "
              "a copy in a folder of its own");
    tj::Ids ids = tj::read_ids(root);
    const std::vector<AddedToken> added = all_added(root, settings, ids);
    vocabulary_.size = tj::size_of(ids);
    for (const auto& [token, id] : ids) tokens_[id] = token;
    try {
      parts_ = std::make_unique<const TextParts>(root);
    } catch (const tj::Unsupported& unsupported) {
      refusal_ = unsupported.what();
      return;
    }
    const auto normalize = [&](std::string_view content) {
      return parts_->normalizer.apply(content, /*inside=*/false);
    };
    added_ = AddedTokens(added, normalize);
    const std::string own = shown(AddedTokens(tj::read_added(file), normalize));
    if (shown(added_) != own || !made.changes.empty()) distinction_ = shown(added_) + made.changes;
  }

  std::string distinction() const override { return distinction_; }
  std::string note() const override { return note_; }
  std::string refusal() const override { return refusal_; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(const TextPart& part, WordMemory* words, std::vector<int32_t>& ids) const override {
    if (scan_utf8(part.text).bad > 0) {
      std::string valid;
      append_replacing(part.text, valid);
      return encode({valid, part.start}, words, ids);
    }
    WordEncoder encoder(parts_->model, words, ids);
    for (const Stretch& stretch : added_.split(part.text)) {
      const bool first = stretch.text.data() == part.text.data();
      tj::Piece piece{stretch.text, first && part.start == PartStart::kText,
                      first && part.start != PartStart::kText};
      if (stretch.token != nullptr)
        ids.push_back(stretch.token->id);
      else
        encode_stretch(piece, encoder, ids);
    }
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids) {
      const AddedToken* added = added_.find(id);
      if (added != nullptr && added->special) continue;
      // A token that is found in the normalized text is decoded as it was found.
      if (added != nullptr && added->normalized)
        tokens.push_back(parts_->normalizer.apply(added->content, /*inside=*/false));
      else if (const auto token = tokens_.find(id); token != tokens_.end())
        tokens.push_back(token->second);
    }
    return parts_->decoder.text(std::move(tokens));
  }

  std::string piece(int32_t id) const override {
    const auto token = tokens_.find(id);
    return token == tokens_.end() ? "" : token->second;
  }

  size_t longest_text() const override { return kMaxWholeText; }

  std::optional<size_t> last_word_start(std::string_view text, size_t begin,
                                        size_t end) const override {
    if (parts_->normalizer.apply(text, /*inside=*/true) != text) return std::nullopt;
    const std::vector<size_t> starts = word_starts(text);
    for (auto at = starts.rbegin(); at != starts.rend() && *at >= begin; ++at) {
      if (*at >= end || *at == 0) continue;
      // What comes before it must not matter, so the same words begin behind it without that.
      std::vector<size_t> apart = word_starts(text.substr(*at));
      for (size_t& start : apart) start += *at;
      if (std::equal(starts.rbegin(), std::next(at), apart.rbegin(), apart.rend())) return *at;
    }
    return std::nullopt;
  }

 private:
  /// Where words begin, but for those that don't lie in the text itself.
  std::vector<size_t> word_starts(std::string_view text) const {
    WordStarts words(text);
    for (const Stretch& stretch : added_.split(text)) {
      if (stretch.token == nullptr) parts_->pre_tokenizer.split({stretch.text, false, true}, words);
    }
    return words.starts();
  }

  void encode_stretch(tj::Piece piece, WordEncoder& encoder, std::vector<int32_t>& ids) const {
    std::string normalized;
    if (!parts_->normalizer.empty()) {
      normalized = parts_->normalizer.apply(piece.text, piece.inside);
      piece.text = normalized;
    }
    for (const Stretch& stretch : added_.split_normalized(piece.text)) {
      const bool first = stretch.text.data() == piece.text.data();
      if (stretch.token != nullptr)
        ids.push_back(stretch.token->id);
      else
        parts_->pre_tokenizer.split(
            {stretch.text, first && piece.starts_text, first && piece.inside}, encoder);
    }
  }

  Vocabulary vocabulary_;
  std::unordered_map<int32_t, std::string> tokens_;  // by id
  std::string refusal_;
  std::string distinction_;
  std::string note_;
  std::unique_ptr<const TextParts> parts_;  // null: refused
  AddedTokens added_;
};

}  // namespace

std::unique_ptr<const TokenizerEngine> json_engine(
    const std::string& text, const std::filesystem::path& path,
    const std::optional<TokenizerSettings>& settings) {
  try {
    const json root = tj::parse(text);
    return std::make_unique<const JsonEngine>(tj::Node(root, ""), path.string(),
                                              settings ? &*settings : nullptr);
  } catch (const std::invalid_argument& error) {
    throw DataError(cat(path.string(), ": ", error.what()));
  }
}

}  // namespace fathom
