#include "tokenizer/settings.h"

#include <algorithm>
#include <array>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Sorted, not in order: a vocabulary has 100,000 keys and more.
using SortedJson = nlohmann::json;

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
constexpr std::array kNamedTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                     "pad_token", "cls_token", "mask_token"};
/// What a Llama's tokenizer has without being told.
const std::map<std::string_view, const char*> kLlamaTokens = {
    {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};

template <typename AnyJson>
AnyJson read(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return nullptr;
  try {
    return AnyJson::parse(read_text_file(path, kMaxBytes));
  } catch (const SortedJson::exception& error) {
    throw DataError(cat(path.string(), " isn't JSON: ", error.what()));
  }
}

/// In the file's order.
std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  if (!object.is_object()) return keys;
  for (const auto& entry : object.items()) keys.push_back(entry.key());
  return keys;
}

bool flag(const SortedJson& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_boolean() ? fallback : found->get<bool>();
}

std::string text(const SortedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_string() ? "" : found->get<std::string>();
}

/// A text, which transformers takes for a special token, or an object.
AddedToken to_token(const SortedJson& value) {
  if (value.is_string()) return {.id = -1, .content = value.get<std::string>(), .special = true};
  const bool special = flag(value, "special", false);
  return {.id = -1,
          .content = value.at("content").get<std::string>(),
          .single_word = flag(value, "single_word", false),
          .lstrip = flag(value, "lstrip", false),
          .rstrip = flag(value, "rstrip", false),
          .normalized = flag(value, "normalized", !special),
          .special = special};
}

bool is_token(const SortedJson& value) {
  return value.is_string() || (value.is_object() && value.contains("content"));
}

/// Collects the tokens in the order in which transformers adds them.
class Reader {
 public:
  explicit Reader(const fs::path& folder)
      : in_order_(read<Json>(folder / "tokenizer_config.json")),
        config_(in_order_),
        map_(read<SortedJson>(folder / "special_tokens_map.json")),
        added_(read<SortedJson>(folder / "added_tokens.json")),
        json_(read<SortedJson>(folder / "tokenizer.json")),
        model_(read<SortedJson>(folder / "config.json")) {
    if (!json_.is_object()) json_ = nullptr;  // what reads it for its model says what is wrong
  }

  bool found() const {
    return !config_.is_null() || !map_.is_null() || !added_.is_null() || !json_.is_null();
  }

  TokenizerSettings settings() {
    if (!config_.is_object()) config_ = SortedJson::object();
    TokenizerSettings settings;
    read_decoder();
    read_named();
    read_extra(settings);
    settings.tokens = in_order();
    for (const auto& [key, token] : named_) settings.special[key] = token.content;
    settings.split_special_tokens = flag(config_, "split_special_tokens", false);
    settings.adds_bos = adds_bos();
    settings.space = space();
    settings.strips_space = strips_space();
    if (model_.is_object() && model_.contains("vocab_size"))
      settings.model_size = model_.at("vocab_size").get<int64_t>();
    return settings;
  }

 private:
  /// transformers builds a Llama's tokenizer anew from its vocabulary, but not that of a Mistral.
  bool is_llama() const {
    const std::string type = text(model_, "model_type");
    const std::string name = text(config_, "tokenizer_class");
    return name.starts_with("LlamaTokenizer") && type != "mistral" && type != "olmo2";
  }

  bool obeys_json() const { return !json_.is_null() && !is_llama(); }

  /// Tokens with an id of their own. Without added_tokens_decoder, the older files say them.
  void read_decoder() {
    if (config_.contains("added_tokens_decoder")) {
      for (const auto& [id, token] : config_.at("added_tokens_decoder").items())
        decoder_[std::stoll(id)] = to_token(token);
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
        decoder_[id.get<int64_t>()] = {
            .id = -1, .content = content, .normalized = !is_special, .special = is_special};
      }
    }
    if (json_.is_object() && json_.contains("added_tokens")) {
      for (const SortedJson& token : json_.at("added_tokens"))
        decoder_[token.at("id").get<int64_t>()] = to_token(token);
    }
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
        names.push_back(to_token(config_.at(key)).content);
    }
    for (const SortedJson& token : extra()) names.push_back(to_token(token).content);
    return names;
  }

  void read_named() {
    const auto add = [&](const std::string& key, const SortedJson& value) {
      if (!is_token(value)) return;
      AddedToken token = to_token(value);
      for (const auto& [id, known] : decoder_) {
        if (known.content == token.content) token = known;
      }
      named_.emplace_back(key, token);
    };
    for (const char* key : kNamedTokens) {
      const auto fallback = kLlamaTokens.find(key);
      if (config_.contains(key))
        add(key, config_.at(key));
      else if (is_llama() && fallback != kLlamaTokens.end())
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
    for (const SortedJson& token : extra()) extra_.push_back(to_token(token));
    settings.lists_extra_tokens = !extra_.empty() || obeys_json();
  }

  std::vector<AddedToken> in_order() {
    std::vector<AddedToken> tokens;
    const auto is_there = [&](const std::string& content) {
      return std::any_of(tokens.begin(), tokens.end(),
                         [&](const AddedToken& token) { return token.content == content; });
    };
    if (obeys_json() && json_.contains("added_tokens")) {
      for (const SortedJson& token : json_.at("added_tokens")) tokens.push_back(to_token(token));
    }
    for (const auto& entry : decoder_) tokens.push_back(entry.second);
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

  /// A tokenizer.json has its own say, and then add_bos_token has none.
  bool adds_bos() const {
    if (json_.is_null()) {
      const bool has_bos = std::any_of(named_.begin(), named_.end(), [](const auto& entry) {
        return entry.first == "bos_token";
      });
      return has_bos && flag(config_, "add_bos_token", false);
    }
    for (const SortedJson& step : steps_of("post_processor", "processors")) {
      if (text(step, "type") != "TemplateProcessing") continue;
      const SortedJson single = step.value("single", SortedJson::array());
      return !single.empty() && single[0].contains("SpecialToken");
    }
    return false;
  }

  /// The steps of a part of tokenizer.json, which may be one or a list.
  SortedJson steps_of(const char* part, const char* list) const {
    const SortedJson steps = json_.value(part, SortedJson());
    if (!steps.is_object()) return SortedJson::array();
    return steps.value(list, SortedJson::array({steps}));
  }

  bool strips_space() const {
    if (!obeys_json()) return flag(config_, "add_prefix_space", true);
    const SortedJson steps = steps_of("decoder", "decoders");
    return std::any_of(steps.begin(), steps.end(), [](const SortedJson& step) {
      return text(step, "type") == "Strip" || text(step, "type") == "Metaspace";
    });
  }

  SpaceBefore space() const {
    using Where = SpaceBefore::Where;
    if (!obeys_json()) {
      if (!flag(config_, "add_prefix_space", true)) return {.where = Where::kNowhere};
      return {.where = flag(config_, "legacy", false) ? Where::kEveryStretch : Where::kText,
              .unless_there = true};
    }
    for (const SortedJson& step : steps_of("normalizer", "normalizers")) {
      const SortedJson pattern = step.value("pattern", SortedJson::object());
      const bool at_end = text(step, "type") == "Replace" && text(pattern, "Regex") == "\\z";
      if (text(step, "type") == "Prepend" || at_end)
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
  if (!reader.found()) return std::nullopt;
  try {
    return reader.settings();
  } catch (const SortedJson::exception& error) {
    throw DataError(
        cat("the tokenizer's JSON files in ", folder.string(), " can't be read: ", error.what()));
  } catch (const std::logic_error& error) {  // an id that is no number
    throw DataError(cat((folder / "tokenizer_config.json").string(),
                        ": added_tokens_decoder has a key that isn't an id: ", error.what()));
  }
}

}  // namespace fathom
