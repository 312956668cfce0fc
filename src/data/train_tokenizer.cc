#include "fathom/data/train_tokenizer.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "fathom/base/cores.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/utf8.h"
#include "fathom/data/internal/sampler.h"

namespace fathom {
namespace {

constexpr size_t kMaxLineBytes = 4096;  // longer lines are split: SentencePiece would drop them

/// Keeps lines of up to `max_bytes` in all. Of more, those whose hashed numbers are smallest: an
/// even choice that needs no second pass and doesn't depend on chance.
class LineSample {
 public:
  explicit LineSample(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  void add(std::string_view line) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const uint64_t number = num_lines_++;
    const uint64_t rank = permuted(0, 0, number, uint64_t{1} << 40);
    if (bytes_ >= max_bytes_ && rank >= kept_.top().rank) return;
    bytes_ += line.size();
    kept_.push({rank, number, std::string(line)});
    while (bytes_ > max_bytes_ && kept_.size() > 1) {
      bytes_ -= kept_.top().text.size();
      kept_.pop();
    }
  }

  /// The lines in the order of the text; the sample is empty afterwards.
  std::vector<std::string> take() {
    std::vector<Line> lines;
    lines.reserve(kept_.size());
    for (; !kept_.empty(); kept_.pop()) lines.push_back(kept_.top());
    std::sort(lines.begin(), lines.end(),
              [](const Line& a, const Line& b) { return a.number < b.number; });
    std::vector<std::string> texts;
    texts.reserve(lines.size());
    for (Line& line : lines) texts.push_back(std::move(line.text));
    return texts;
  }

 private:
  struct Line {
    uint64_t rank = 0;
    uint64_t number = 0;
    std::string text;
    bool operator<(const Line& other) const { return rank < other.rank; }
  };
  uint64_t max_bytes_;
  uint64_t bytes_ = 0;
  uint64_t num_lines_ = 0;
  std::priority_queue<Line> kept_;
};

/// Splits a text into lines, and long lines at spaces.
void add_lines(std::string_view text, LineSample& sample) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    size_t next = end + 1;
    if (end > kMaxLineBytes) {
      end = text.rfind(' ', kMaxLineBytes);
      if (end == std::string_view::npos || end == 0) end = character_start(text, kMaxLineBytes);
      next = end;
    }
    sample.add(text.substr(0, end));
    text.remove_prefix(std::min(next, text.size()));
  }
}

/// Where a part of a long text ends doesn't matter here, so any place between characters will do.
TextCut cut_anywhere(std::string_view text) { return {character_start(text, kMaxTextPart)}; }

std::vector<std::string> sample_lines(const std::vector<DataFile>& files,
                                      const TokenizerOptions& options, Progress* progress,
                                      const StopFlag& stop) {
  LineSample sample(static_cast<uint64_t>(options.sample_bytes));
  uint64_t bytes_before = 0;
  require_text(files);
  for (const DataFile& file : files) {
    const std::unique_ptr<RecordReader> records = open_records(file, options.read, cut_anywhere);
    for (Record record; records->next(record);) {
      stop.check();
      add_lines(document_text(file, record, options.read), sample);
      if (progress != nullptr)
        progress->update(static_cast<double>(bytes_before + records->bytes_read()), "reading");
    }
    bytes_before += file.bytes;
  }
  return sample.take();
}

/// Hands the lines to SentencePiece.
class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t next_ = 0;
};

std::unordered_map<std::string, std::string> arguments(const TokenizerOptions& options) {
  return {{"model_type", options.type},
          {"vocab_size", std::to_string(options.vocab_size)},
          {"character_coverage", cat(options.character_coverage)},
          {"byte_fallback", "true"},
          {"normalization_rule_name", "identity"},
          {"remove_extra_whitespaces", "false"},
          {"allow_whitespace_only_pieces", "true"},
          {"split_digits", "true"},
          {"pad_id", options.pad ? "3" : "-1"},
          {"max_sentence_length", std::to_string(2 * kMaxLineBytes)},
          {"num_threads", "16"},  // has an influence on the result, so it isn't the machine's
          {"minloglevel", "2"}};
}

void check_options(const TokenizerOptions& options) {
  if (options.type != "unigram" && options.type != "bpe")
    throw ConfigError(cat("the tokenizer's type is '", options.type, "'; allowed: unigram, bpe"));
  const int64_t least = 256 + (options.pad ? 4 : 3) + 1;
  if (options.vocab_size < least || options.vocab_size > 1'000'000)
    throw ConfigError(cat("the tokenizer's vocab_size is ", options.vocab_size, "; allowed: ",
                          least, " (256 bytes, special pieces, a character) to 1000000"));
  if (!(options.character_coverage > 0 && options.character_coverage <= 1))
    throw ConfigError(cat("the tokenizer's character_coverage is ", options.character_coverage,
                          "; allowed: above 0 to 1"));
  if (options.sample_bytes < 1 || options.sample_bytes > int64_t{1} << 30)
    throw ConfigError(cat("the tokenizer's sample_bytes is ", options.sample_bytes,
                          "; allowed: 1 to ", int64_t{1} << 30));
}

}  // namespace

Tokenizer train_tokenizer(const std::vector<DataFile>& files, const TokenizerOptions& options,
                          const std::filesystem::path& output, Progress* progress,
                          const StopFlag& stop) {
  check_options(options);
  OutputFile file(output);  // an output that can't be written is known before the work
  const std::vector<std::string> lines = sample_lines(files, options, progress, stop);
  const std::string first = files.empty() ? "no file" : files[0].path.string();
  if (lines.empty()) throw DataError(cat("there is no text to train a tokenizer on in ", first));
  std::string model;
  Lines iterator(lines);
  const CoreLimit limit;  // SentencePiece starts its 16 threads whatever there is
  const auto status =
      sentencepiece::SentencePieceTrainer::Train(arguments(options), &iterator, &model);
  stop.check();
  if (!status.ok())
    throw DataError(
        cat("can't make a tokenizer of ", options.vocab_size, " pieces from the text in ", first,
            files.size() > 1 ? " and the other files" : "",
            "; give more text or another vocab_size (SentencePiece: ", status.message(), ")"));
  Tokenizer tokenizer = Tokenizer::from_bytes(model, output.string());
  file.write(model);
  file.publish();
  return tokenizer;
}

}  // namespace fathom
