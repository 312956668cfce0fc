// Makes a SentencePiece tokenizer from text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fathom/base/progress.h"
#include "fathom/base/stop.h"
#include "fathom/data/formats.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// What kind of tokenizer. As in Llama, so that every program which reads a Llama's SentencePiece
/// model reads this one (llama.cpp takes each for BPE with byte fallback): text is not normalized,
/// digits stand alone, runs of spaces may be pieces, and characters without a piece are spelled in
/// bytes, so that decoding gives the text back. <unk>, <s> and </s> are ids 0, 1 and 2.
struct TokenizerOptions {
  int64_t vocab_size = 32000;
  std::string type = "bpe";            ///< bpe, as Llama has it, or unigram, as T5 has it
  double character_coverage = 0.9995;  ///< share of the text whose characters get pieces
  bool pad = false;                    ///< <pad> is id 3
  /// Text that training looks at. Of more than this, lines are chosen evenly by their number.
  int64_t sample_bytes = int64_t{64} << 20;
  ReadOptions read;
};

/// Trains on the documents of text files, read as prepare reads them, and writes the model
/// atomically. The same files and options give the same model on any machine with the same
/// SentencePiece. The library's own work can't be stopped half-way; reading can.
/// @param progress gets the bytes of the files read so far; null: none
/// @throws DataError naming the file if it can't be read, or if the text has too few different
/// pieces for the vocabulary (or too many characters); ConfigError for bad options
Tokenizer train_tokenizer(const std::vector<DataFile>& files, const TokenizerOptions& options,
                          const std::filesystem::path& output, Progress* progress,
                          const StopFlag& stop);

}  // namespace fathom
