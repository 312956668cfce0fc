#include "tokenizer/sentencepiece_directory.h"

#include <algorithm>
#include <map>

#include "fathom/base/error.h"
#include "tokenizer/sentencepiece_engine.h"

namespace fathom {
namespace {

using Where = SpaceBefore::Where;

constexpr std::string_view kSpacePiece = "\xE2\x96\x81";  // what SentencePiece writes for ' '

std::string with_space_pieces(std::string_view text) {
  std::string changed;
  for (const char c : text) c == ' ' ? changed += kSpacePiece : changed += c;
  return changed;
}

class DirectoryEngine : public TokenizerEngine {
 public:
  DirectoryEngine(const std::string& model, const std::string& name,
                  const TokenizerSettings& settings)
      : model_(model, name),
        space_(settings.space),
        strips_space_(settings.strips_space),
        vocabulary_(model_.vocabulary()) {
    std::vector<AddedToken> tokens = with_ids(settings);
    for (const AddedToken& token : tokens) by_id_[token.id] = token;
    std::erase_if(tokens, [&](const AddedToken& token) { return !is_looked_for(token, settings); });
    const auto normalize = [](std::string_view text) {
      return std::string(kSpacePiece) + with_space_pieces(text);
    };
    looked_for_ = AddedTokens(tokens, space_.normalized ? normalize : AddedTokens::Normalize());
  }

  bool is_sentencepiece() const override { return true; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string piece(int32_t id) const override {
    const auto added = by_id_.find(id);
    return added == by_id_.end() ? model_.piece(id) : added->second.content;
  }

  /// Where nothing is looked for and a text gets its space as by the model, it is the model alone.
  std::string distinction() const override {
    std::string text;
    for (const auto& [id, token] : looked_for_.tokens())
      text += cat(id, " ", token.single_word, token.lstrip, token.rstrip, token.normalized, " ",
                  token.content, "\n");
    const bool puts_space = space_.where != Where::kNowhere;
    const bool as_alone = puts_space == model_.puts_space() && !(puts_space && space_.unless_there);
    if (text.empty() && as_alone) return "";
    return cat(text, static_cast<int>(space_.where), space_.unless_there, space_.normalized);
  }

  void encode(const TextPart& part, WordMemory* words, std::vector<int32_t>& ids) const override {
    for (const auto& [text, token] : looked_for_.split(part.text)) {
      if (token != nullptr) {
        ids.push_back(token->id);
        continue;
      }
      const bool first = text.data() == part.text.data();
      if (space_.normalized && has_normalized_)
        encode_normalized({text, start_of(text, part, first)}, ids);
      else
        encode_stretch({text, part.start}, part, first, words, ids);
    }
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (size_t i = 0; i < ids.size();) {
      const auto added = by_id_.find(ids[i]);
      if (added != by_id_.end()) {
        // A normalized token is decoded as it was found.
        if (!added->second.special)
          text +=
              cat(space_.normalized && added->second.normalized ? " " : "", added->second.content);
        ++i;
        continue;
      }
      size_t end = i;
      while (end < ids.size() && !by_id_.contains(ids[end])) ++end;
      text += model_.decode_part(ids.subspan(i, end - i), PartStart::kInside);
      i = end;
    }
    if (strips_space_ && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

 private:
  /// A token that is a piece has the piece's id; the others come after the pieces, one by one. What
  /// the model has no id for stays text: a [PAD] that was added to a tokenizer alone, say.
  std::vector<AddedToken> with_ids(const TokenizerSettings& settings) {
    std::vector<AddedToken> tokens = settings.tokens;
    if (!settings.lists_extra_tokens) {
      for (const MarkedPiece& piece : model_.marked())
        tokens.push_back({.id = -1, .content = piece.text, .special = piece.is_control});
    }
    std::map<std::string, int32_t, std::less<>> known;
    for (int32_t id = 0; id < vocabulary_.size; ++id) known.emplace(model_.piece(id), id);
    std::vector<AddedToken> kept;
    for (AddedToken& token : tokens) {
      const auto [place, is_new] =
          known.emplace(token.content, static_cast<int32_t>(vocabulary_.size));
      if (is_new && vocabulary_.size >= settings.model_size) {
        known.erase(place);
        continue;
      }
      if (is_new) ++vocabulary_.size;
      token.id = place->second;
      has_normalized_ = has_normalized_ || token.normalized;
      kept.push_back(token);
    }
    return kept;
  }

  bool is_looked_for(const AddedToken& token, const TokenizerSettings& settings) const {
    return !(settings.split_special_tokens && token.special);
  }

  /// What a stretch of a part starts with. Where a part of a long text was cut, that was decided.
  PartStart start_of(std::string_view text, const TextPart& part, bool first) const {
    if (first && part.start != PartStart::kText) return part.start;
    const bool has_space = text.starts_with(' ') || text.starts_with(kSpacePiece);
    const bool wants_space =
        space_.where == Where::kEveryStretch || (space_.where == Where::kText && first);
    return wants_space && !(space_.unless_there && has_space) ? PartStart::kSpace
                                                              : PartStart::kInside;
  }

  void encode_stretch(const TextPart& stretch, const TextPart& part, bool first, WordMemory* words,
                      std::vector<int32_t>& ids) const {
    for (const auto& [text, token] : looked_for_.split_normalized(stretch.text)) {
      const bool starts = first && text.data() == stretch.text.data();
      if (token != nullptr)
        ids.push_back(token->id);
      else
        model_.encode({text, start_of(text, part, starts)}, words, ids);
    }
  }

  /// Tokens that are found in the text as it is after the space was put before it.
  void encode_normalized(const TextPart& stretch, std::vector<int32_t>& ids) const {
    const std::string normalized =
        cat(stretch.start == PartStart::kSpace ? kSpacePiece : "", with_space_pieces(stretch.text));
    for (const auto& [text, token] : looked_for_.split_normalized(normalized)) {
      if (token != nullptr)
        ids.push_back(token->id);
      else
        model_.encode({text, PartStart::kInside}, nullptr, ids);
    }
  }

  SentencePieceEngine model_;
  SpaceBefore space_;
  bool strips_space_;
  Vocabulary vocabulary_;
  std::map<int32_t, AddedToken> by_id_;
  AddedTokens looked_for_;
  bool has_normalized_ = false;
};

}  // namespace

std::unique_ptr<const TokenizerEngine> sentencepiece_directory_engine(
    const std::string& model, const std::string& name, const TokenizerSettings& settings) {
  return std::make_unique<const DirectoryEngine>(model, name, settings);
}

}  // namespace fathom
