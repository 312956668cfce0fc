#include "tokenizer/settings.h"

#include <algorithm>
#include <array>

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "tokenizer/token_json.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::array kNamedTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                     "pad_token", "cls_token", "mask_token"};
using Defaults = std::map<std::string_view, const char*>;

/// What a class's tokenizer has without being told.
const Defaults& defaults_of(BuiltAs built_as) {
  static const Defaults llama = {
      {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  static const Defaults gemma = {{"bos_token", "<bos>"},
                                 {"eos_token", "<eos>"},
                                 {"unk_token", "<unk>"},
                                 {"pad_token", "<pad>"},
                                 {"mask_token", "<mask>"}};
  static const Defaults none;
  return built_as == BuiltAs::kLlama ? llama : built_as == BuiltAs::kGemma ? gemma : none;
}

/// In the file's order.
std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  if (!object.is_object()) return keys;
  for (const auto& entry : object.items()) keys.push_back(entry.key());
  return keys;
}

/// Collects the tokens in the order in which transformers adds them.
class Reader {
 public:
  explicit Reader(const fs::path& folder)
      : folder_(folder),
        in_order_(read_tokenizer_json<Json>(folder / "tokenizer_config.json")),
        config_(in_order_),
        map_(read_tokenizer_json<SortedJson>(folder / "special_tokens_map.json")),
        added_(read_tokenizer_json<SortedJson>(folder / "added_tokens.json")),
        json_(read_tokenizer_json<SortedJson>(folder / "tokenizer.json")),
        model_(read_tokenizer_json<SortedJson>(folder / "config.json")) {
    if (!json_.is_object()) json_ = nullptr;  // what reads it for its model says what is wrong
    if (!model_.is_object()) model_ = SortedJson::object();
    has_config_ = config_.is_object();
    if (!has_config_) config_ = SortedJson::object();
    const std::string named = text(config_, "tokenizer_class");
    auto_class_ = auto_class(named.empty() ? text(model_, "tokenizer_class") : named,
                             text(model_, "model_type"), has_byte_level());
  }

  bool found() const {
    return has_config_ || !map_.is_null() || !added_.is_null() || !json_.is_null();
  }
  bool has_model_type() const { return !text(model_, "model_type").empty(); }

  TokenizerSettings settings() {
    TokenizerSettings settings;
    settings.auto_class = auto_class_;
    settings.only_model_type = !found();
    settings.has_json = !json_.is_null();
    settings.json_is_bpe =
        settings.has_json && text(json_.value("model", SortedJson::object()), "type") == "BPE";
    read_decoder();
    read_named();
    read_extra(settings);
    settings.tokens = in_order();
    for (const auto& [key, token] : named_) settings.special[key] = token.content;
    settings.split_special_tokens = flag(config_, "split_special_tokens", false);
    settings.adds_bos = adds_bos();
    if (settings.adds_bos && !json_.is_null()) settings.special.emplace("bos_token", first_token());
    settings.space = space();
    settings.strips_space = strips_space();
    settings.changes = changes();
    if (is_built_from_model()) {
      for (const char* key : {"bos_token", "eos_token", "unk_token"}) {
        if (!config_.contains(key)) settings.left_to_model.emplace_back(key);
      }
    }
    if (model_.contains("vocab_size") && !model_.at("vocab_size").is_null())
      settings.model_size =
          to_id(model_.at("vocab_size"), cat((folder_ / "config.json").string(), ": vocab_size"));
    return settings;
  }

 private:
  bool is(BuiltAs built_as) const { return auto_class_.built_as == built_as; }
  bool obeys_json() const {
    return !json_.is_null() && (is(BuiltAs::kFile) || is(BuiltAs::kOther));
  }
  bool is_built_from_model() const { return json_.is_null() && is(BuiltAs::kFile); }

  bool has_byte_level() const {
    return std::any_of(kStepLists.begin(), kStepLists.end(), [this](const auto& part) {
      const SortedJson steps = steps_of(part.first, part.second);
      return std::any_of(steps.begin(), steps.end(), [](const SortedJson& step) {
        return step.is_object() && text(step, "type") == "ByteLevel";
      });
    });
  }

  std::string place(const char* file, const std::string& key) const {
    return cat((folder_ / file).string(), ": ", key);
  }

  /// Tokens with an id of their own. Without added_tokens_decoder, the older files say them.
  void read_decoder() {
    if (config_.contains("added_tokens_decoder")) {
      for (const auto& [id, token] : config_.at("added_tokens_decoder").items()) {
        const std::string where = place("tokenizer_config.json", "added_tokens_decoder");
        decoder_[to_id(id, cat(where, ": a key"))] = to_token(token, cat(where, ".", id));
      }
      return;
    }
    if (map_.is_object()) {
      for (const auto& [key, value] : map_.items()) {
        // These come too late where the tokenizer is built anew.
        if (key == "additional_special_tokens" && !obeys_json()) continue;
        config_[key] = value;
        if (value.is_object() && value.contains("content")) config_[key]["special"] = true;
      }
    }
    if (added_.is_object()) {
      const std::vector<std::string> special = special_names();
      for (const auto& [content, id] : added_.items()) {
        const bool is_special = std::find(special.begin(), special.end(), content) != special.end();
        decoder_[to_id(id, place("added_tokens.json", content))] = {
            .id = -1, .content = content, .normalized = !is_special, .special = is_special};
      }
    }
    for (const auto& [id, token] : listed()) decoder_[id] = token;
  }

  /// The added tokens of tokenizer.json.
  std::vector<std::pair<int64_t, AddedToken>> listed() const {
    std::vector<std::pair<int64_t, AddedToken>> tokens;
    if (json_.is_null() || !json_.contains("added_tokens")) return tokens;
    for (const SortedJson& token : json_.at("added_tokens")) {
      const std::string where = place("tokenizer.json", cat("added_tokens[", tokens.size(), "]"));
      const AddedToken read = to_token(token, where);
      const SortedJson id = token.is_object() ? token.value("id", SortedJson()) : SortedJson();
      tokens.emplace_back(to_id(id, cat(where, ".id")), read);
    }
    return tokens;
  }

  /// additional_special_tokens has had several names and forms.
  std::vector<SortedJson> extra() const {
    std::vector<SortedJson> tokens;
    for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
      if (!config_.contains(key) || config_.at(key).empty()) continue;
      for (const SortedJson& token : config_.at(key)) {
        if (is_token(token)) tokens.push_back(token);
      }
      break;
    }
    return tokens;
  }

  std::vector<std::string> special_names() const {
    std::vector<std::string> names;
    for (const char* key : kNamedTokens) {
      if (config_.contains(key) && is_token(config_.at(key)))
        names.push_back(token_of(config_.at(key), key).content);
    }
    for (const SortedJson& token : extra()) names.push_back(token_of(token, kExtra).content);
    return names;
  }

  void read_named() {
    const auto add = [&](const std::string& key, const SortedJson& value) {
      if (!is_token(value)) return;
      AddedToken token = token_of(value, key);
      for (const auto& [id, known] : decoder_) {
        if (known.content == token.content) token = known;
      }
      named_.emplace_back(key, token);
    };
    for (const char* key : kNamedTokens) {
      const Defaults& defaults = defaults_of(auto_class_.built_as);
      const auto fallback = defaults.find(key);
      if (config_.contains(key))
        add(key, config_.at(key));
      else if (fallback != defaults.end())
        add(key, fallback->second);
    }
    for (const std::string& key : keys_of(in_order_)) {  // a model's own, such as image_token
      const bool known =
          std::find(kNamedTokens.begin(), kNamedTokens.end(), key) != kNamedTokens.end();
      if (!known && key.ends_with("_token") && config_.at(key).is_string())
        add(key, config_.at(key));
    }
    if (!in_order_.is_object() || !in_order_.contains("extra_special_tokens")) return;
    for (const std::string& key : keys_of(in_order_.at("extra_special_tokens")))
      add(key, config_.at("extra_special_tokens").at(key));
  }

  void read_extra(TokenizerSettings& settings) {
    for (const SortedJson& token : extra()) extra_.push_back(token_of(token, kExtra));
    settings.lists_extra_tokens = !extra_.empty() || obeys_json();
  }

  std::vector<AddedToken> in_order() {
    std::vector<AddedToken> tokens;
    const auto is_there = [&](const std::string& content) {
      return std::any_of(tokens.begin(), tokens.end(),
                         [&](const AddedToken& token) { return token.content == content; });
    };
    if (obeys_json()) {
      for (const auto& entry : listed()) tokens.push_back(entry.second);
    }
    for (const auto& [id, token] : decoder_) {
      tokens.push_back(token);
      // transformers renames the piece that has this id.
      if (is_built_from_model()) tokens.back().id = static_cast<int32_t>(id);
    }
    for (const auto& entry : named_) {
      if (!is_there(entry.second.content)) tokens.push_back(entry.second);
    }
    for (const AddedToken& token : extra_) {
      if (!is_there(token.content)) tokens.push_back(token);
    }
    for (AddedToken& token : tokens) {
      for (const auto& entry : named_)
        token.special = token.special || entry.second.content == token.content;
    }
    return tokens;
  }

  bool has_named(std::string_view key) const {
    return std::any_of(named_.begin(), named_.end(),
                       [&](const auto& entry) { return entry.first == key; });
  }

  /// A tokenizer.json has its own say, and then add_bos_token has none.
  bool adds_bos() const {
    if (!json_.is_null()) return !first_token().empty();
    const bool is_left_to_model = is_built_from_model() && !config_.contains("bos_token");
    return (has_named("bos_token") || is_left_to_model) && flag(config_, "add_bos_token", false);
  }

  /// What tokenizer.json puts before a text; empty: nothing.
  std::string first_token() const {
    for (const SortedJson& step : steps_of("post_processor", "processors")) {
      const std::string type = text(step, "type");
      if (type == "RobertaProcessing" || type == "BertProcessing")
        return step.at("cls").at(0).get<std::string>();
      if (type != "TemplateProcessing") continue;
      const SortedJson single = step.value("single", SortedJson::array());
      if (single.empty() || !single[0].contains("SpecialToken")) return "";
      return text(single[0].at("SpecialToken"), "id");
    }
    return "";
  }

  /// The steps of a part of tokenizer.json, which may be one or a list.
  SortedJson steps_of(const char* part, const char* list) const {
    if (json_.is_null()) return SortedJson::array();
    const SortedJson steps = json_.value(part, SortedJson());
    if (!steps.is_object()) return SortedJson::array();
    return steps.value(list, SortedJson::array({steps}));
  }

  bool strips_space() const {
    if (is(BuiltAs::kLlama)) return flag(config_, "add_prefix_space", true);
    if (!obeys_json()) return is(BuiltAs::kOther);
    const SortedJson steps = steps_of("decoder", "decoders");
    return std::any_of(steps.begin(), steps.end(), [](const SortedJson& step) {
      return text(step, "type") == "Strip" || text(step, "type") == "Metaspace";
    });
  }

  SpaceBefore space() const {
    using Where = SpaceBefore::Where;
    if (is(BuiltAs::kLlama)) {
      if (!flag(config_, "add_prefix_space", true)) return {.where = Where::kNowhere};
      return {.where = flag(config_, "legacy", false) ? Where::kEveryStretch : Where::kText,
              .unless_there = true};
    }
    if (!obeys_json()) return {.where = is(BuiltAs::kOther) ? Where::kAsModel : Where::kNowhere};
    for (const SortedJson& step : steps_of("normalizer", "normalizers")) {
      if (text(step, "type") == "Prepend" || puts_space_behind(step))
        return {.where = Where::kEveryStretch, .normalized = true};
    }
    for (const SortedJson& step : steps_of("pre_tokenizer", "pretokenizers")) {
      if (text(step, "type") != "Metaspace") continue;
      const std::string scheme =
          step.value("prepend_scheme", flag(step, "add_prefix_space", true) ? "always" : "never");
      return {.where = scheme == "always"  ? Where::kEveryStretch
                       : scheme == "first" ? Where::kText
                                           : Where::kNowhere,
              .unless_there = true};
    }
    return {.where = Where::kNowhere};
  }

  static bool puts_space_behind(const SortedJson& step) {
    return text(step, "type") == "Replace" && pattern_of(step) == "\\z";
  }
  static std::string pattern_of(const SortedJson& step) {
    return text(step.value("pattern", SortedJson::object()), "Regex");
  }

  /// What is left of tokenizer.model.
  SentencePieceChanges changes() const {
    if (is(BuiltAs::kLlama) || is(BuiltAs::kGemma))
      return {
          .normalizes = false, .removes_spaces = false, .keeps_suffix = false, .by_order = true};
    if (is_built_from_model()) return {.removes_spaces = false, .keeps_suffix = false};
    if (!obeys_json()) return {};
    SentencePieceChanges changes{
        .normalizes = false, .removes_spaces = false, .keeps_suffix = false};
    for (const SortedJson& step : steps_of("normalizer", "normalizers")) {
      const std::string type = text(step, "type");
      if (type == "Precompiled") changes.normalizes = true;
      if (type == "Strip" || (type == "Replace" && pattern_of(step).starts_with(" {2,}")))
        changes.removes_spaces = true;
      if (puts_space_behind(step)) changes.keeps_suffix = true;
    }
    return changes;
  }

  static constexpr const char* kExtra = "extra_special_tokens";
  static constexpr std::array kStepLists = {std::pair{"pre_tokenizer", "pretokenizers"},
                                            std::pair{"decoder", "decoders"},
                                            std::pair{"post_processor", "processors"}};

  AddedToken token_of(const SortedJson& value, const std::string& key) const {
    return to_token(value, place("tokenizer_config.json", key));
  }

  fs::path folder_;
  bool has_config_ = false;
  AutoClass auto_class_;
  Json in_order_;  // tokenizer_config.json: tokens get ids in its order
  SortedJson config_, map_, added_, json_, model_;
  std::map<int64_t, AddedToken> decoder_;
  std::vector<std::pair<std::string, AddedToken>> named_;
  std::vector<AddedToken> extra_;
};

}  // namespace

std::optional<TokenizerSettings> read_tokenizer_settings(const fs::path& tokenizer) {
  if (tokenizer.filename() != "tokenizer.model" && tokenizer.filename() != "tokenizer.json")
    return std::nullopt;
  const fs::path folder = tokenizer.parent_path();
  Reader reader(folder);
  const bool counts = tokenizer.filename() == "tokenizer.model" && reader.has_model_type();
  if (!reader.found() && !counts) return std::nullopt;
  try {
    return reader.settings();
  } catch (const SortedJson::exception& error) {
    throw DataError(cat("the tokenizer's JSON files in ", folder.string(),
                        " can't be read: ", json_reason(error), "; download or copy them again"));
  }
}

}  // namespace fathom
