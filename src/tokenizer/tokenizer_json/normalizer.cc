#include "tokenizer/tokenizer_json/normalizer.h"

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "tokenizer/tokenizer_json/pattern.h"
#include "tokenizer/tokenizer_json/unicode_forms.h"

namespace fathom::tokenizer_json {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxContent = 64;  // bytes that a replacement makes of a few
constexpr size_t kMaxGrowth = 64;   // bytes made of one; NFKC alone makes 11

class Form : public NormalizerStep {
 public:
  explicit Form(const UnicodeForm& form) : form_(&form) {}
  std::string apply(std::string text, bool) const override { return to_form(text, *form_); }

 private:
  const UnicodeForm* form_;
};

class Lowercase : public NormalizerStep {
 public:
  std::string apply(std::string text, bool) const override { return to_lower(text); }
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string what) : what_(std::move(what)) {}
  std::string apply(std::string text, bool inside) const override {
    return inside || text.empty() ? text : what_ + text;
  }

 private:
  std::string what_;
};

class Replace : public NormalizerStep {
 public:
  Replace(Pattern pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  std::string apply(std::string text, bool) const override {
    return pattern_.replace_all(text, by_);
  }

 private:
  Pattern pattern_;
  std::string by_;
};

/// White space at the ends.
class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right)
      : left_(left), right_(right), ends_(to_pcre2("\\s+"), "white space") {}
  std::string apply(std::string text, bool inside) const override {
    size_t begin = 0, end = text.size();
    Pattern::Search search(ends_, text);
    for (Pattern::Match match; search.next(match);) {
      if (left_ && !inside && match.begin == 0) begin = match.end;
      if (right_ && match.end == text.size()) end = match.begin;
    }
    return begin < end ? text.substr(begin, end - begin) : "";
  }

 private:
  bool left_;
  bool right_;
  Pattern ends_;
};

std::string short_text(const Node& node) {
  const std::string text = node.text();
  if (text.size() > kMaxContent) node.reject(cat("at most ", kMaxContent, " bytes"));
  return text;
}

std::unique_ptr<const NormalizerStep> make_step(const Node& node) {
  const std::string type = node.type();
  if (const UnicodeForm* form = find_form(type)) {
    node.allow_only({"type"});
    return std::make_unique<Form>(*form);
  }
  if (type == "Lowercase") {
    node.allow_only({"type"});
    return std::make_unique<Lowercase>();
  }
  if (type == "Prepend") {
    node.allow_only({"type", "prepend"});
    return std::make_unique<Prepend>(short_text(node.at("prepend")));
  }
  if (type == "Replace") {
    node.allow_only({"type", "pattern", "content"});
    return std::make_unique<Replace>(Pattern(node.at("pattern")), short_text(node.at("content")));
  }
  if (type == "Strip") {
    node.allow_only({"type", "strip_left", "strip_right"});
    return std::make_unique<Strip>(node.at("strip_left").boolean(),
                                   node.at("strip_right").boolean());
  }
  node.at("type").refuse();
}

}  // namespace

Normalizer::Normalizer(const Node& node) { add(node); }

void Normalizer::add(const Node& node) {
  if (node.type() != "Sequence") {
    if (steps_.size() == kMaxSteps) node.reject(cat("at most ", kMaxSteps, " steps"));
    steps_.push_back(make_step(node));
    return;
  }
  node.allow_only({"type", "normalizers"});
  for (const Node& step : node.at("normalizers").items()) add(step);
}

std::string Normalizer::apply(std::string_view text, bool inside) const {
  std::string out(text);
  for (const auto& step : steps_) {
    out = step->apply(std::move(out), inside);
    if (out.size() > kMaxGrowth * text.size() + kMaxContent * kMaxSteps)
      throw DataError(cat("the normalizer of the tokenizer makes ", out.size(), " bytes of ",
                          text.size(), "; allowed: ", kMaxGrowth, " for each"));
  }
  return out;
}

}  // namespace fathom::tokenizer_json
