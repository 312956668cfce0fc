// Text to token files: on all cores, in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/progress.h"
#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/data/formats.h"
#include "fathom/data/token_file.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// What decides the content of a token file, beside text and tokenizer.
struct PrepareOptions {
  ReadOptions read;
  bool add_bos = false;  ///< each document starts with BOS; each ends with EOS
  int num_threads = 0;   ///< that tokenize, which doesn't change the result; 0: as in base/cores.h

  static PrepareOptions from(const DataConfig& config);
};

/// Bytes of all files, the total of prepare's progress.
uint64_t total_bytes(const std::vector<DataFile>& files);

/// Tokenizes text files into one token file; each document is [BOS] ids EOS. Documents without
/// text are left out. Memory stays bounded: by some 32 MB of text in flight, or one document (a
/// JSON line of max_document_bytes) if that is more, and their ids.
/// @param progress gets the bytes of the files read so far; null: none
/// @throws DataError for a token file among them, or the first in the order of the text: a file
/// that can't be read, a document that isn't as it should be, no document at all, a tokenizer
/// without EOS (or BOS with add_bos)
TokenFileInfo prepare(const std::vector<DataFile>& files, const Tokenizer& tokenizer,
                      const PrepareOptions& options, const std::filesystem::path& output,
                      Progress* progress, const StopFlag& stop);

/// Warns of what a token file leaves out of its text and replaces in it.
void warn_of_gaps(const TokenFileInfo& info, const std::string& title, const Log& log);

}  // namespace fathom
