#include "tokenizer/tokenizer_json/decoder.h"

#include <cctype>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "tokenizer/tokenizer_json/byte_symbols.h"
#include "tokenizer/tokenizer_json/pattern.h"

namespace fathom::tokenizer_json {
namespace {

using Tokens = std::vector<std::string>;

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxContent = 64;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

/// Symbols become the bytes that they stand for. A token with another character is its own bytes.
class ByteLevel : public DecoderStep {
 public:
  Tokens apply(Tokens tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of_symbols(token).value_or(token);
    std::string text;
    append_replacing(bytes, text);
    return {text};
  }
};

/// Runs of <0x..> become the characters that they spell, or U+FFFD for each if they spell none.
class ByteFallback : public DecoderStep {
 public:
  Tokens apply(Tokens tokens) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (scan_utf8(bytes).bad == 0)
        out.push_back(bytes);
      else
        out.insert(out.end(), bytes.size(), std::string(kReplacement));
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    return out;
  }

 private:
  static int byte_of(std::string_view token) {
    const auto is_digit = [&](size_t i) {
      return std::isxdigit(static_cast<unsigned char>(token[i])) != 0;
    };
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>' || !is_digit(3) ||
        !is_digit(4))
      return -1;
    return std::stoi(std::string(token.substr(3, 2)), nullptr, 16);
  }
};

class Fuse : public DecoderStep {
 public:
  Tokens apply(Tokens tokens) const override { return {joined(tokens)}; }
};

class Replace : public DecoderStep {
 public:
  Replace(Pattern pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  Tokens apply(Tokens tokens) const override {
    for (std::string& token : tokens) token = pattern_.replace_all(token, by_);
    return tokens;
  }

 private:
  Pattern pattern_;
  std::string by_;
};

/// At most so many of a character at the ends of each token.
class Strip : public DecoderStep {
 public:
  Strip(std::string what, size_t start, size_t stop)
      : what_(std::move(what)), start_(start), stop_(stop) {}
  Tokens apply(Tokens tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (size_t i = 0; i < start_ && rest.starts_with(what_); ++i)
        rest.remove_prefix(what_.size());
      for (size_t i = 0; i < stop_ && rest.ends_with(what_); ++i) rest.remove_suffix(what_.size());
      token = std::string(rest);
    }
    return tokens;
  }

 private:
  std::string what_;
  size_t start_;
  size_t stop_;
};

/// The sign of a space becomes one, but not before the text.
class Metaspace : public DecoderStep {
 public:
  Metaspace(Pattern sign, bool drops_first) : sign_(std::move(sign)), drops_first_(drops_first) {}
  Tokens apply(Tokens tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = sign_.replace_all(tokens[i], i == 0 && drops_first_ ? "" : " ");
    return tokens;
  }

 private:
  Pattern sign_;
  bool drops_first_;
};

std::string short_text(const Node& node) {
  const std::string text = node.text();
  if (text.size() > kMaxContent) node.reject(cat("at most ", kMaxContent, " bytes"));
  return text;
}

std::unique_ptr<const DecoderStep> make_metaspace(const Node& node) {
  node.allow_only(
      {"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  const nlohmann::json sign = {{"String", node.at("replacement").text()}};
  const bool drops = node.find("prepend_scheme") ? node.at("prepend_scheme").text() != "never"
                                                 : node.boolean("add_prefix_space", true);
  return std::make_unique<Metaspace>(Pattern(Node(sign, node.place())), drops);
}

std::unique_ptr<const DecoderStep> make_step(const Node& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") {
    node.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<ByteLevel>();
  }
  if (type == "ByteFallback" || type == "Fuse") {
    node.allow_only({"type"});
    if (type == "Fuse") return std::make_unique<Fuse>();
    return std::make_unique<ByteFallback>();
  }
  if (type == "Replace") {
    node.allow_only({"type", "pattern", "content"});
    return std::make_unique<Replace>(Pattern(node.at("pattern")), short_text(node.at("content")));
  }
  if (type == "Strip") {
    node.allow_only({"type", "content", "start", "stop"});
    if (node.at("content").text().empty()) node.at("content").reject("one character");
    return std::make_unique<Strip>(short_text(node.at("content")),
                                   static_cast<size_t>(node.at("start").integer(0, INT32_MAX)),
                                   static_cast<size_t>(node.at("stop").integer(0, INT32_MAX)));
  }
  if (type == "Metaspace") return make_metaspace(node);
  node.at("type").refuse();
}

}  // namespace

Decoder::Decoder(const Node& node) { add(node); }

void Decoder::add(const Node& node) {
  if (node.type() != "Sequence") {
    if (steps_.size() == kMaxSteps) node.reject(cat("at most ", kMaxSteps, " steps"));
    steps_.push_back(make_step(node));
    return;
  }
  node.allow_only({"type", "decoders"});
  for (const Node& step : node.at("decoders").items()) add(step);
}

std::string Decoder::text(std::vector<std::string> tokens) const {
  if (steps_.empty()) return join(tokens, " ");
  for (const auto& step : steps_) tokens = step->apply(std::move(tokens));
  return joined(tokens);
}

}  // namespace fathom::tokenizer_json
