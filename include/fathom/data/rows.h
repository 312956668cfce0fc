// Rows of tokens.
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
#include <span>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/batch.h"
#include "fathom/data/token_file.h"

namespace fathom {

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

}  // namespace fathom
