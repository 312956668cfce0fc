// Rows of tokens for training and evaluation.
//
// Two ways to make rows of documents (data.mode):
// - documents: a row is a document, cut to sequence_length tokens or padded. The target of each
//   token is the next one of the cut document; the last token and the padding have none.
// - packed: all documents, each of which ends with EOS, are joined; row r holds tokens [r*T, r*T+T)
//   and predicts [r*T+1, r*T+T+1), so every token but the first is predicted once. The last row is
//   shorter. With document_attention, attention stays within a document (Batch::document), and
//   then the first token of a document has nothing to be predicted from: it is left out of the
//   loss. Without, EOS predicts it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/batch.h"
#include "fathom/data/token_file.h"

namespace fathom {

/// Which part of each global batch a process gets.
struct Shard {
  int64_t rank = 0;
  int64_t world_size = 1;
};

/// How the tokens of some files fall into rows, and what no row holds.
struct RowUse {
  int64_t documents = 0;
  int64_t tokens = 0;  ///< in the files
  int64_t rows = 0;
  int64_t targets = 0;        ///< tokens that some row predicts
  int64_t cut_documents = 0;  ///< longer than a row (data.mode=documents)
  int64_t cut_tokens = 0;     ///< what of those no row holds
};

/// The rows of some token files, by number and in file order.
class Rows {
 public:
  /// What a row adds to the counts of a batch.
  struct Count {
    int64_t tokens = 0;
    int64_t targets = 0;
  };

  /// @throws DataError if the files hold no row
  Rows(std::vector<TokenFile> files, const DataConfig& config);

  uint64_t size() const { return num_rows_; }
  int64_t length() const { return length_; }
  bool has_documents() const { return document_attention_; }
  /// From the index alone, no token is read. @throws DataError if a file is corrupt
  Count count(uint64_t row) const;
  /// Writes a row to row `slot` of a batch. @throws DataError if a file is corrupt or was changed
  void fill(uint64_t row, int64_t slot, Batch& batch) const;
  /// A batch of `rows` padded rows.
  Batch empty_batch(int64_t rows) const;
  /// Counts all rows, from the index alone. @throws DataError if a file is corrupt
  RowUse use() const;

 private:
  struct Place {
    size_t file = 0;
    uint64_t position = 0;
  };
  static Place place(const std::vector<uint64_t>& starts, uint64_t index);
  void count_documents(const TokenFile& file, RowUse& use) const;
  void fill_document(uint64_t row, int64_t slot, Batch& batch) const;
  void fill_packed(uint64_t row, int64_t slot, Batch& batch) const;
  void read_stream(uint64_t begin, std::span<int64_t> out) const;
  void mark_documents(uint64_t begin, int64_t tokens, int64_t slot, Batch& batch) const;
  uint64_t documents_before(uint64_t token) const;
  uint64_t document_end(uint64_t token) const;
  uint64_t total_tokens() const { return token_starts_.back(); }

  std::vector<TokenFile> files_;
  bool packed_;
  bool document_attention_;
  int64_t length_;
  std::vector<uint64_t> token_starts_;     // of each file in the joined stream, then the total
  std::vector<uint64_t> document_starts_;  // likewise, in documents
  uint64_t num_rows_ = 0;
};

/// Shuffled batches without end. A pure function of (files, config, step): the global batch is the
/// same for any number of ranks, and a resumed run goes on exactly where it was.
class Loader {
 public:
  /// @throws ConfigError if global_batch_size can't be split evenly over the ranks; DataError
  Loader(std::vector<TokenFile> files, const DataConfig& config, int64_t global_batch_size,
         Shard shard = {});

  /// This rank's rows of step `step` (from 0), with the counts of the global batch. Epochs follow
  /// each other without a gap; each has its own order.
  Batch batch(int64_t step) const;
  uint64_t rows_per_epoch() const { return rows_.size(); }
  /// Epochs that `steps` steps take.
  double epochs(int64_t steps) const;
  const Rows& rows() const { return rows_; }
  int64_t global_batch_size() const { return global_batch_size_; }

 private:
  uint64_t row_at(uint64_t position) const;

  Rows rows_;
  uint64_t seed_;
  int64_t global_batch_size_;
  Shard shard_;
};

/// Makes the batches of a loader ahead, on a thread of its own.
class PrefetchingLoader {
 public:
  /// @param depth batches that may lie ready, at least 1
  PrefetchingLoader(const Loader& loader, int64_t first_step, int64_t depth);
  /// Stops the thread, also in the middle of the data.
  ~PrefetchingLoader();
  PrefetchingLoader(const PrefetchingLoader&) = delete;
  PrefetchingLoader& operator=(const PrefetchingLoader&) = delete;

  /// The batch of the next step. @throws what making it threw
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The first `validation_tokens` targets of the files, in file order, not shuffled: exactly so many
/// are scored (or all there are), the rest of the last row is ignored.
class EvaluationLoader {
 public:
  EvaluationLoader(std::vector<TokenFile> files, const DataConfig& config, int64_t rows_per_batch,
                   Shard shard = {});

  int64_t num_batches() const;
  /// Targets of the whole pass.
  int64_t num_targets() const { return num_targets_; }
  /// This rank's rows (there may be none at the end), with the counts of the global batch.
  Batch batch(int64_t index) const;

 private:
  Rows rows_;
  int64_t rows_per_batch_;
  Shard shard_;
  uint64_t num_rows_ = 0;
  int64_t num_targets_ = 0;
  int64_t dropped_targets_ = 0;  // of the last row
};

}  // namespace fathom
