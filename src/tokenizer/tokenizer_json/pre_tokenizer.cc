#include "tokenizer/tokenizer_json/pre_tokenizer.h"

#include <array>

#include "fathom/base/error.h"
#include "fathom/base/names.h"
#include "tokenizer/tokenizer_json/byte_symbols.h"
#include "tokenizer/tokenizer_json/pattern.h"

namespace fathom::tokenizer_json {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxReplacement = 4;  // bytes of one character

/// What becomes of a match, and of what lies between two.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct BehaviorRow {
  std::string_view name;
  Behavior behavior;
};
constexpr std::array kBehaviors{BehaviorRow{"Removed", Behavior::kRemoved},
                                BehaviorRow{"Isolated", Behavior::kIsolated},
                                BehaviorRow{"MergedWithPrevious", Behavior::kMergedWithPrevious},
                                BehaviorRow{"MergedWithNext", Behavior::kMergedWithNext},
                                BehaviorRow{"Contiguous", Behavior::kContiguous}};

Behavior read_behavior(const Node& node) {
  const std::string name = node.text();
  for (const BehaviorRow& row : kBehaviors) {
    if (row.name == name) return row.behavior;
  }
  node.reject(join(names_of(kBehaviors)));
}

/// Joins stretches, matched or not, to pieces as a behavior says.
class Joiner {
 public:
  Joiner(const Piece& whole, Behavior behavior, PieceSink& sink)
      : whole_(&whole), behavior_(behavior), sink_(&sink) {}

  void add(size_t begin, size_t end, bool matched) {
    if (behavior_ == Behavior::kRemoved) {
      flush();
      if (!matched) begin_ = begin, end_ = end;
    } else if (open_ && joins(matched)) {
      end_ = end;
    } else {
      flush();
      begin_ = begin, end_ = end;
    }
    open_ = true;
    matched_ = matched;
  }

  void flush() {
    if (begin_ < end_)
      sink_->take({whole_->text.substr(begin_, end_ - begin_), whole_->starts_text && begin_ == 0,
                   whole_->inside && begin_ == 0});
    begin_ = end_ = 0;
  }

 private:
  bool joins(bool matched) const {
    switch (behavior_) {
      case Behavior::kMergedWithPrevious:
        return matched && !matched_;
      case Behavior::kMergedWithNext:
        return matched_ && !matched;
      case Behavior::kContiguous:
        return matched == matched_;
      default:
        return false;
    }
  }

  const Piece* whole_;
  Behavior behavior_;
  PieceSink* sink_;
  size_t begin_ = 0, end_ = 0;  // of the piece that isn't handed on yet
  bool open_ = false;
  bool matched_ = false;  // what was added last
};

class Split : public PreTokenizerStep {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert = false)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(const Piece& piece, PieceSink& sink) const override {
    Pattern::Search search(pattern_, piece.text);
    Joiner joiner(piece, behavior_, sink);
    size_t done = 0;
    for (Pattern::Match match; search.next(match); done = match.end) {
      if (done < match.begin) joiner.add(done, match.begin, invert_);
      joiner.add(match.begin, match.end, !invert_);
    }
    if (done < piece.text.size()) joiner.add(done, piece.text.size(), invert_);
    joiner.flush();
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

/// A space before each piece that has none.
class PrefixSpace : public PreTokenizerStep {
 public:
  void split(const Piece& piece, PieceSink& sink) const override {
    if (piece.inside || piece.text.starts_with(' ')) return sink.take(piece);
    const std::string text = cat(' ', piece.text);
    sink.take({text, piece.starts_text});
  }
};

/// Writes the symbol of each byte.
class ByteSymbols : public PreTokenizerStep {
 public:
  void split(const Piece& piece, PieceSink& sink) const override {
    const std::string text = symbols_of_bytes(piece.text);
    sink.take({text, piece.starts_text, piece.inside});
  }
};

enum class Scheme { kNever, kFirst, kAlways };

/// Writes a sign for each space, puts one before the text, and begins a piece with each.
class Metaspace : public PreTokenizerStep {
 public:
  Metaspace(std::string sign, Scheme scheme) : sign_(std::move(sign)), scheme_(scheme) {}

  void split(const Piece& piece, PieceSink& sink) const override {
    std::string text;
    for (const char c : piece.text) {
      if (c == ' ')
        text += sign_;
      else
        text += c;
    }
    const bool prefix = scheme_ == Scheme::kAlways
                            ? !piece.inside
                            : scheme_ == Scheme::kFirst && piece.starts_text && !piece.inside;
    if (prefix && !text.starts_with(sign_)) text.insert(0, sign_);
    sink.take({text, piece.starts_text, piece.inside});
  }

 private:
  std::string sign_;
  Scheme scheme_;
};

Scheme read_scheme(const Node& node) {
  if (const auto scheme = node.find("prepend_scheme")) {
    const std::string name = scheme->text();
    if (name == "never") return Scheme::kNever;
    if (name == "first") return Scheme::kFirst;
    if (name != "always") scheme->reject("never, first, always");
    return Scheme::kAlways;
  }
  return node.boolean("add_prefix_space", true) ? Scheme::kAlways : Scheme::kNever;
}

using Steps = std::vector<std::unique_ptr<const PreTokenizerStep>>;

void add_split(const Node& node, Steps& steps) {
  node.allow_only({"type", "pattern", "behavior", "invert"});
  steps.push_back(std::make_unique<Split>(Pattern(node.at("pattern")),
                                          read_behavior(node.at("behavior")),
                                          node.boolean("invert", false)));
}

void add_regex(const char* regex, Behavior behavior, Steps& steps) {
  steps.push_back(
      std::make_unique<Split>(Pattern(to_pcre2(regex), cat("'", regex, "'")), behavior));
}

/// GPT-2's words, unless others were made before.
void add_byte_level(const Node& node, Steps& steps) {
  node.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  if (node.boolean("add_prefix_space", true)) steps.push_back(std::make_unique<PrefixSpace>());
  if (node.boolean("use_regex", true))
    add_regex(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
              Behavior::kIsolated, steps);
}

/// Its numbers are those of Rust, which has Unicode 17.
void add_digits(const Node& node, Steps& steps) {
  node.allow_only({"type", "individual_digits"});
  add_regex(R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])",
            node.boolean("individual_digits", false) ? Behavior::kIsolated : Behavior::kContiguous,
            steps);
}

void add_metaspace(const Node& node, Steps& steps) {
  node.allow_only(
      {"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  const Node replacement = node.at("replacement");
  const std::string sign = replacement.text();
  if (sign.empty() || sign.size() > kMaxReplacement) replacement.reject("one character");
  steps.push_back(std::make_unique<Metaspace>(sign, read_scheme(node)));
  if (!node.boolean("split", true)) return;
  const nlohmann::json literal = {{"String", sign}};
  steps.push_back(std::make_unique<Split>(Pattern(Node(literal, replacement.place())),
                                          Behavior::kMergedWithNext));
}

/// Words as Rust's regex has them, and what stands between them but for white space.
void add_whitespace(const Node& node, Steps& steps) {
  node.allow_only({"type"});
  const std::string word = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9})"
                           R"(\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
  const std::string regex = cat("[", word, "]+|[^", word, "\\s]+");
  steps.push_back(std::make_unique<Split>(Pattern(to_pcre2(regex), "a word"), Behavior::kRemoved,
                                          /*invert=*/true));
}

void add_whitespace_split(const Node& node, Steps& steps) {
  node.allow_only({"type"});
  add_regex(R"(\s+)", Behavior::kRemoved, steps);
}

/// A row of the table of types. What follows ByteLevel sees symbols in place of bytes.
struct Type {
  std::string_view name;
  void (*add)(const Node& node, Steps& steps);
};
constexpr std::array kTypes{
    Type{"Split", add_split},           Type{"ByteLevel", add_byte_level},
    Type{"Digits", add_digits},         Type{"Metaspace", add_metaspace},
    Type{"Whitespace", add_whitespace}, Type{"WhitespaceSplit", add_whitespace_split}};

/// Hands a piece from step to step.
class Chain : public PieceSink {
 public:
  Chain(const Steps& steps, size_t step, PieceSink& last)
      : steps_(&steps), step_(step), last_(&last) {}

  void take(const Piece& piece) override {
    if (piece.text.empty()) return;
    if (step_ == steps_->size()) return last_->take(piece);
    Chain next(*steps_, step_ + 1, *last_);
    (*steps_)[step_]->split(piece, next);
  }

 private:
  const Steps* steps_;
  size_t step_;
  PieceSink* last_;
};

}  // namespace

PreTokenizer::PreTokenizer(const Node& node) { add(node); }

void PreTokenizer::add(const Node& node) {
  const std::string type = node.type();
  if (type == "Sequence") {
    node.allow_only({"type", "pretokenizers"});
    for (const Node& step : node.at("pretokenizers").items()) add(step);
    return;
  }
  for (const Type& row : kTypes) {
    if (row.name != type) continue;
    // The bytes of the last ByteLevel stay bytes: nobody but the model looks at them.
    if (gives_bytes_) steps_.push_back(std::make_unique<ByteSymbols>());
    row.add(node, steps_);
    gives_bytes_ = type == "ByteLevel";
    if (steps_.size() > kMaxSteps) node.reject(cat("at most ", kMaxSteps, " steps"));
    return;
  }
  node.at("type").refuse();
}

void PreTokenizer::split(const Piece& piece, PieceSink& words) const {
  Chain(steps_, 0, words).take(piece);
}

}  // namespace fathom::tokenizer_json
