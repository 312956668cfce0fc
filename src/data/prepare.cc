#include "fathom/data/prepare.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>

#include "data/encoder.h"
#include "data/pipeline.h"
#include "fathom/base/cores.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr size_t kJobBytes = size_t{256} << 10;
constexpr size_t kBytesInFlight = size_t{32} << 20;
constexpr size_t kRecordOverhead = 128;

/// Some records in a row, and how far the reader was.
struct TextJob {
  struct Item {
    size_t file = 0;
    Record record;
  };
  std::vector<Item> items;
  size_t bytes = 0;
  uint64_t bytes_read = 0;  ///< of the input files
};

/// Their ids, one after the other.
struct TokenResult {
  struct Part {
    size_t file = 0;
    size_t end = 0;  ///< in ids
    bool first = true;
    bool last = true;
    bool skipped = false;
  };
  std::vector<int32_t> ids;
  std::vector<Part> parts;
  uint64_t replacements = 0;
  uint64_t bytes_read = 0;
};

/// Reads the files one after the other.
class JobReader {
 public:
  JobReader(const std::vector<DataFile>& files, const ReadOptions& options, CutFunction cut)
      : files_(files), options_(options), cut_(std::move(cut)) {}

  /// An error is thrown after the records before it were handed on: theirs come first.
  std::optional<TextJob> next() {
    if (error_) std::rethrow_exception(error_);
    TextJob job;
    try {
      while (job.bytes < kJobBytes && file_ < files_.size()) read_record(job);
    } catch (...) {
      if (job.items.empty()) throw;
      error_ = std::current_exception();
    }
    job.bytes_read = bytes_before_ + (records_ == nullptr ? 0 : records_->bytes_read());
    if (job.items.empty()) return std::nullopt;
    return job;
  }

 private:
  void read_record(TextJob& job) {
    if (records_ == nullptr) records_ = open_records(files_[file_], options_, cut_);
    TextJob::Item item{file_, {}};
    if (records_->next(item.record)) {
      job.bytes += item.record.bytes.size() + kRecordOverhead;
      job.items.push_back(std::move(item));
    } else {
      bytes_before_ += files_[file_].bytes;
      records_.reset();
      ++file_;
    }
  }

  const std::vector<DataFile>& files_;
  const ReadOptions& options_;
  CutFunction cut_;
  size_t file_ = 0;
  uint64_t bytes_before_ = 0;
  std::unique_ptr<RecordReader> records_;
  std::exception_ptr error_;
};

/// Encoders that threads borrow, so that words stay remembered from job to job.
class EncoderPool {
 public:
  explicit EncoderPool(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::unique_ptr<Encoder> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Encoder>(tokenizer_);
    std::unique_ptr<Encoder> encoder = std::move(idle_.back());
    idle_.pop_back();
    return encoder;
  }
  void give_back(std::unique_ptr<Encoder> encoder) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(encoder));
  }

 private:
  const Tokenizer& tokenizer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Encoder>> idle_;
};

TokenResult tokenize(TextJob job, const std::vector<DataFile>& files, Encoder& encoder,
                     const ReadOptions& options) {
  TokenResult result;
  result.bytes_read = job.bytes_read;
  result.parts.reserve(job.items.size());
  for (TextJob::Item& item : job.items) {
    Record& record = item.record;
    const std::string text = document_text(files[item.file], record, options);
    if (record.first && record.last)
      encoder.encode(text, result.ids);
    else
      encoder.encode_part({text, record.start}, result.ids);
    result.parts.push_back(
        {item.file, result.ids.size(), record.first, record.last, record.skipped});
    result.replacements += record.replacements;
  }
  return result;
}

/// Puts the documents into the token file and counts them.
class DocumentWriter {
 public:
  DocumentWriter(TokenFileWriter& file, const Tokenizer& tokenizer, const PrepareOptions& options,
                 size_t num_files)
      : file_(file), documents_of_file_(num_files) {
    tokenizer.require_text();  // before its special tokens: a tiktoken file has none
    const auto special = [&](std::optional<int32_t> id, const char* name, const char* why) {
      if (!id)
        throw DataError(cat("the tokenizer ", tokenizer.name(), " has no ", name, "; ", why));
      return *id;
    };
    eos_ = special(tokenizer.eos_id(), "EOS",
                   "each document ends with it: name one of its tokens as eos_token in "
                   "tokenizer_config.json beside tokenizer.model or tokenizer.json, or train "
                   "another (train-llm tokenizer train)");
    const char* no_bos = options.read.names == SettingNames::keys ? "set data.add_bos to false"
                                                                  : "don't ask for it by --add-bos";
    if (options.add_bos) bos_ = special(tokenizer.bos_id(), "BOS", no_bos);
  }

  void write(const TokenResult& result) {
    notes_.replacements += result.replacements;
    size_t begin = 0;
    for (const TokenResult::Part& part : result.parts) {
      add(std::span(result.ids).subspan(begin, part.end - begin));
      begin = part.end;
      if (part.last) end_document(part);
    }
  }

  const TokenFileInfo& notes() const { return notes_; }
  uint64_t documents_of_file(size_t file) const { return documents_of_file_[file]; }

 private:
  void add(std::span<const int32_t> ids) {
    if (ids.empty()) return;
    if (!open_ && bos_) file_.add_tokens(std::span(&*bos_, 1));
    open_ = true;
    file_.add_tokens(ids);
  }

  void end_document(const TokenResult::Part& part) {
    if (open_) {
      file_.add_tokens(std::span(&eos_, 1));
      file_.end_document();
      ++documents_of_file_[part.file];
    } else {
      ++(part.skipped ? notes_.skipped_documents : notes_.empty_documents);
    }
    open_ = false;
  }

  TokenFileWriter& file_;
  int32_t eos_ = 0;
  std::optional<int32_t> bos_;
  bool open_ = false;  // the current document has tokens
  TokenFileInfo notes_;
  std::vector<uint64_t> documents_of_file_;
};

std::string left_out(const TokenFileInfo& notes) {
  return cat(" (", notes.empty_documents, " empty, ", notes.skipped_documents,
             " skipped for invalid UTF-8); is it the right file? leave it out otherwise");
}

void check_documents(const std::vector<DataFile>& files, const DocumentWriter& writer) {
  uint64_t total = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].named && writer.documents_of_file(i) == 0)
      throw DataError(cat(files[i].path.string(), " has no usable document",
                          files.size() == 1 ? left_out(writer.notes()) : "; leave it out"));
    total += writer.documents_of_file(i);
  }
  if (total == 0)
    throw DataError(cat("no usable document in ", files.size(), " files, the first is ",
                        files.empty() ? "missing" : files[0].path.string(),
                        left_out(writer.notes())));
}

}  // namespace

PrepareOptions PrepareOptions::from(const DataConfig& config) {
  return {ReadOptions::from(config), config.add_bos, 0};
}

uint64_t total_bytes(const std::vector<DataFile>& files) {
  uint64_t total = 0;
  for (const DataFile& file : files) total += file.bytes;
  return total;
}

TokenFileInfo prepare(const std::vector<DataFile>& files, const Tokenizer& tokenizer,
                      const PrepareOptions& options, const std::filesystem::path& output,
                      Progress* progress, const StopFlag& stop) {
  require_text(files);
  TokenFileWriter file(output, tokenizer.vocab_size(), tokenizer.checksum());
  DocumentWriter writer(file, tokenizer, options, files.size());
  JobReader reader(files, options.read,
                   [&](std::string_view text) { return tokenizer.find_cut(text); });
  EncoderPool encoders(tokenizer);
  const int num_threads =
      options.num_threads > 0 ? options.num_threads : static_cast<int>(fathom::num_threads());
  const size_t in_flight =
      std::max(kBytesInFlight, 4 * kJobBytes * static_cast<size_t>(num_threads));
  Pipeline<TextJob, TokenResult> pipeline(
      {.read = [&] { return reader.next(); },
       .work =
           [&](TextJob job) {
             std::unique_ptr<Encoder> encoder = encoders.take();
             TokenResult result = tokenize(std::move(job), files, *encoder, options.read);
             encoders.give_back(std::move(encoder));
             return result;
           },
       .consume =
           [&](const TokenResult& result) {
             writer.write(result);
             if (progress != nullptr)
               progress->update(static_cast<double>(result.bytes_read),
                                cat(file.num_tokens(), " tokens"));
           },
       .weight = [](const TextJob& job) { return job.bytes; }},
      num_threads, in_flight);
  pipeline.run(stop);
  check_documents(files, writer);
  return file.publish(writer.notes());
}

void warn_of_gaps(const TokenFileInfo& info, const std::string& title, const Log& log) {
  if (info.empty_documents > 0)
    log.warn(cat(title, ": left out ", info.empty_documents, " documents without text"));
  if (info.skipped_documents > 0)
    log.warn(cat(title, ": left out ", info.skipped_documents, " documents with invalid UTF-8"));
  if (info.replacements > 0)
    log.warn(cat(title, ": put U+FFFD in ", info.replacements, " places of invalid UTF-8"));
}

}  // namespace fathom
