#include "tokenizer/sentencepiece_directory.h"

#include <algorithm>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "tokenizer/sentencepiece_engine.h"

namespace fathom {
namespace {

using Where = SpaceBefore::Where;

constexpr std::string_view kSpacePiece = "\xE2\x96\x81";  // what SentencePiece writes for ' '
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string with_space_pieces(std::string_view text) {
  std::string changed;
  for (const char c : text) c == ' ' ? changed += kSpacePiece : changed += c;
  return changed;
}

std::string with_spaces(std::string text) {
  for (size_t at = 0; (at = text.find(kSpacePiece, at)) != std::string::npos; ++at)
    text.replace(at, kSpacePiece.size(), " ");
  return text;
}

std::string changed(const std::string& bytes, const std::string& name,
                    const TokenizerSettings& settings) {
  const SentencePieceModel model = parse_sentencepiece_model(bytes, name);
  const bool is_unigram = model.algorithm == SentencePieceModel::Algorithm::kUnigram;
  SentencePieceChanges changes = settings.changes;
  if (settings.is_built_from_model()) changes.by_order = !is_unigram;
  if (settings.obeys_json() && settings.json_is_bpe) changes.by_order = is_unigram;
  return changed_model(bytes, changes);
}

void add_once(const AddedToken& token, std::vector<AddedToken>& tokens) {
  const bool is_there = std::any_of(tokens.begin(), tokens.end(), [&](const AddedToken& known) {
    return known.content == token.content;
  });
  if (!is_there) tokens.push_back(token);
}

class DirectoryEngine : public TokenizerEngine {
 public:
  DirectoryEngine(const std::string& file, const std::string& name,
                  const TokenizerSettings& settings)
      : DirectoryEngine(changed(file, name, settings), file, name, settings) {}

  /// @param used the model as it is used @param file as it was read
  DirectoryEngine(const std::string& used, const std::string& file, const std::string& name,
                  const TokenizerSettings& settings)
      : model_(used, name),
        space_(settings.space),
        strips_space_(settings.strips_space),
        changes_(differences(parse_sentencepiece_model(file, name),
                             parse_sentencepiece_model(used, name))),
        note_(note_of(name, settings)),
        vocabulary_(model_.vocabulary()) {
    if (space_.where == Where::kAsModel)
      space_.where = model_.puts_space() ? Where::kEveryStretch : Where::kNowhere;
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
  std::string note() const override { return note_; }
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
    if (text.empty() && as_alone && changes_.empty()) return "";
    return cat(text, join(changes_, ", "), static_cast<int>(space_.where), space_.unless_there,
               space_.normalized);
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
    std::vector<int32_t> stretch;
    for (const int32_t id : ids) {
      const auto added = by_id_.find(id);
      if (added == by_id_.end()) {
        stretch.push_back(id);
      } else if (!added->second.special) {
        // A normalized token is decoded as it was found.
        text +=
            cat(decode_stretch(stretch), space_.normalized && added->second.normalized ? " " : "",
                with_spaces(added->second.content));
        stretch.clear();
      }
    }
    text += decode_stretch(stretch);
    if (strips_space_ && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

 private:
  std::string note_of(const std::string& name, const TokenizerSettings& settings) const {
    const AutoClass& made = settings.auto_class;
    if (settings.obeys_json()) return "";
    if (made.built_as == BuiltAs::kOther)
      return cat(name, ": Fathom doesn't know the rules of ", made.name,
                 ", the class that transformers' AutoTokenizer takes here; the ids are those of "
                 "SentencePiece. For those of transformers save its tokenizer here "
                 "(save_pretrained), which writes a tokenizer.json, and move tokenizer.model away");
    std::vector<std::string> what = changes_;
    const bool is_llama = made.built_as == BuiltAs::kLlama;
    if (is_llama ? space_.where != Where::kNowhere && !model_.puts_space() : model_.puts_space())
      what.emplace_back(is_llama ? "puts a space before a text" : "puts no space before a text");
    if (what.empty()) return "";
    return cat(name, ": the ids are those of transformers 5, whose AutoTokenizer makes a ",
               made.name, " of it that ", join(what, ", "),
               ", unlike SentencePiece; for SentencePiece's ids, name a copy that lies in a folder "
               "of its own");
  }

  /// Bytes that aren't text are a U+FFFD each.
  std::string decode_stretch(std::span<const int32_t> ids) const {
    std::string text;
    size_t done = 0;
    for (size_t begin = 0, end = 0; begin < ids.size(); begin = end + 1) {
      std::string bytes;
      for (end = begin; end < ids.size(); ++end) {
        const std::optional<char> byte = model_.byte_of(ids[end]);
        if (!byte) break;
        bytes += *byte;
      }
      if (scan_utf8(bytes).bad == 0) continue;
      if (done < begin)
        text += model_.decode_part(ids.subspan(done, begin - done), PartStart::kInside);
      for (size_t i = begin; i < end; ++i) text += kReplacement;
      done = end;
    }
    if (done < ids.size()) text += model_.decode_part(ids.subspan(done), PartStart::kInside);
    return text;
  }

  /// A token that is a piece has the piece's id; the others come after the pieces, one by one, or
  /// in place of the piece whose id their file gives them. What the model has no id for stays text:
  /// a [PAD] that was added to a tokenizer alone, say.
  std::vector<AddedToken> with_ids(const TokenizerSettings& settings) {
    std::vector<AddedToken> tokens = settings.tokens;
    if (!settings.lists_extra_tokens) {
      for (const MarkedPiece& piece : model_.marked())
        add_once({.id = -1, .content = piece.text, .special = piece.is_control}, tokens);
    }
    std::map<std::string, int32_t, std::less<>> known;
    for (int32_t id = 0; id < vocabulary_.size; ++id) known.emplace(model_.piece(id), id);
    add_from_model(settings, tokens);
    std::vector<AddedToken> kept;
    for (AddedToken& token : tokens) {
      if (token.id >= 0 && token.id < model_.vocabulary().size && !known.contains(token.content)) {
        known.erase(model_.piece(token.id));
        known[token.content] = token.id;
      }
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

  void add_from_model(const TokenizerSettings& settings, std::vector<AddedToken>& tokens) const {
    for (const std::string& key : settings.left_to_model) {
      const std::optional<int32_t> id = key == "bos_token"   ? vocabulary_.bos
                                        : key == "eos_token" ? vocabulary_.eos
                                                             : vocabulary_.unk;
      if (id) add_once({.id = -1, .content = model_.piece(*id), .special = true}, tokens);
    }
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
  std::vector<std::string> changes_;  // what transformers does otherwise than the file says
  std::string note_;
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
