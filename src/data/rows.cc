#include "fathom/data/rows.h"

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

/// Sums of `count` over the files before each file, then over all.
template <typename Count>
std::vector<uint64_t> starts_of(const std::vector<TokenFile>& files, const Count& count) {
  std::vector<uint64_t> starts = {0};
  for (const TokenFile& file : files) starts.push_back(starts.back() + count(file.info()));
  return starts;
}

}  // namespace

Rows::Rows(std::vector<TokenFile> files, const DataConfig& config)
    : files_(std::move(files)),
      packed_(config.mode == "packed"),
      document_attention_(packed_ && config.document_attention),
      length_(config.sequence_length),
      token_starts_(starts_of(files_, [](const TokenFileInfo& info) { return info.num_tokens; })),
      document_starts_(
          starts_of(files_, [](const TokenFileInfo& info) { return info.num_documents; })) {
  const auto length = static_cast<uint64_t>(length_);
  num_rows_ = document_starts_.back();
  if (packed_) num_rows_ = total_tokens() < 2 ? 0 : (total_tokens() - 2) / length + 1;
  if (num_rows_ == 0)
    throw DataError(cat("the data has ", total_tokens(), " tokens in ", document_starts_.back(),
                        " documents, and a row needs at least ", packed_ ? "two" : "a document",
                        "; name more text"));
}

Rows::Place Rows::place(const std::vector<uint64_t>& starts, uint64_t index) {
  const auto after = std::upper_bound(starts.begin(), starts.end(), index);
  const auto file = static_cast<size_t>(after - starts.begin()) - 1;
  return {file, index - starts[file]};
}

Rows::Count Rows::count(uint64_t row) const {
  if (!packed_) {
    const Place at = place(document_starts_, row);
    const TokenFile& file = files_[at.file];
    const uint64_t tokens = file.document_start(at.position + 1) - file.document_start(at.position);
    const int64_t kept = static_cast<int64_t>(std::min(tokens, static_cast<uint64_t>(length_)));
    return {kept, kept - 1};
  }
  const uint64_t begin = row * static_cast<uint64_t>(length_);
  const uint64_t rest = total_tokens() - begin;
  Count count;
  count.tokens = static_cast<int64_t>(std::min(rest, static_cast<uint64_t>(length_)));
  count.targets = static_cast<int64_t>(std::min(rest - 1, static_cast<uint64_t>(length_)));
  if (document_attention_) {
    const uint64_t last_target = begin + static_cast<uint64_t>(count.targets);
    count.targets -=
        static_cast<int64_t>(documents_before(last_target + 1) - documents_before(begin + 1));
  }
  return count;
}

RowUse Rows::use() const {
  RowUse use{.documents = static_cast<int64_t>(document_starts_.back()),
             .tokens = static_cast<int64_t>(total_tokens()),
             .rows = static_cast<int64_t>(num_rows_)};
  if (packed_) {
    use.targets = use.tokens - (document_attention_ ? use.documents : 1);
    return use;
  }
  for (const TokenFile& file : files_) count_documents(file, use);
  use.targets = use.tokens - use.cut_tokens - use.documents;
  return use;
}

void Rows::count_documents(const TokenFile& file, RowUse& use) const {
  constexpr uint64_t kBlock = 8192;
  std::vector<uint64_t> starts;
  for (uint64_t first = 0; first < file.info().num_documents; first += kBlock) {
    starts.resize(std::min(kBlock, file.info().num_documents - first) + 1);
    file.read_document_starts(first, starts);
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      const int64_t beyond = static_cast<int64_t>(starts[i + 1] - starts[i]) - length_;
      use.cut_documents += beyond > 0 ? 1 : 0;
      use.cut_tokens += std::max<int64_t>(beyond, 0);
    }
  }
}

uint64_t Rows::documents_before(uint64_t token) const {
  if (token == 0) return 0;
  const Place at = place(token_starts_, token - 1);
  return document_starts_[at.file] + files_[at.file].document_of(at.position) + 1;
}

Batch Rows::empty_batch(int64_t rows) const {
  Batch batch;
  batch.rows = rows;
  batch.length = length_;
  const auto size = static_cast<size_t>(rows * length_);
  batch.input.assign(size, 0);
  batch.target.assign(size, kIgnoredTarget);
  if (document_attention_) batch.document.assign(size, 0);
  return batch;
}

void Rows::fill(uint64_t row, int64_t slot, Batch& batch) const {
  if (packed_)
    fill_packed(row, slot, batch);
  else
    fill_document(row, slot, batch);
}

void Rows::fill_document(uint64_t row, int64_t slot, Batch& batch) const {
  const Place at = place(document_starts_, row);
  const TokenFile& file = files_[at.file];
  file.check_unchanged();
  const auto tokens = static_cast<size_t>(count(row).tokens);
  int64_t* input = batch.input.data() + slot * length_;
  int64_t* target = batch.target.data() + slot * length_;
  file.read(file.document_start(at.position), {input, tokens});
  std::copy(input + 1, input + tokens, target);
}

void Rows::fill_packed(uint64_t row, int64_t slot, Batch& batch) const {
  const uint64_t begin = row * static_cast<uint64_t>(length_);
  const auto tokens =
      static_cast<int64_t>(std::min(total_tokens() - begin, static_cast<uint64_t>(length_) + 1));
  std::vector<int64_t> ids(static_cast<size_t>(tokens));
  read_stream(begin, ids);
  int64_t* input = batch.input.data() + slot * length_;
  int64_t* target = batch.target.data() + slot * length_;
  std::copy(ids.begin(), ids.begin() + std::min(tokens, length_), input);
  std::copy(ids.begin() + 1, ids.end(), target);
  if (document_attention_) mark_documents(begin, tokens, slot, batch);
}

void Rows::read_stream(uint64_t begin, std::span<int64_t> out) const {
  while (!out.empty()) {
    const Place at = place(token_starts_, begin);
    const TokenFile& file = files_[at.file];
    const uint64_t here = std::min<uint64_t>(out.size(), file.info().num_tokens - at.position);
    file.check_unchanged();
    file.read(at.position, out.first(here));
    out = out.subspan(here);
    begin += here;
  }
}

uint64_t Rows::document_end(uint64_t token) const {
  const Place at = place(token_starts_, token);
  const TokenFile& file = files_[at.file];
  return token_starts_[at.file] + file.document_start(file.document_of(at.position) + 1);
}

/// Numbers the documents of a row from 0 (padding counts as one more), and drops the targets that
/// start a document.
void Rows::mark_documents(uint64_t begin, int64_t tokens, int64_t slot, Batch& batch) const {
  int32_t* document = batch.document.data() + slot * length_;
  int64_t* target = batch.target.data() + slot * length_;
  int32_t number = 0;
  uint64_t next_start = document_end(begin);
  for (int64_t i = 0; i < tokens; ++i) {
    const uint64_t token = begin + static_cast<uint64_t>(i);
    if (token == next_start) {
      target[i - 1] = kIgnoredTarget;
      ++number;
      next_start = document_end(token);
    }
    if (i < length_) document[i] = number;
  }
  for (int64_t i = tokens; i < length_; ++i) document[i] = number + 1;
}

}  // namespace fathom
