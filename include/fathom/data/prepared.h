// The token files of a config: made of its text where that is new, else found in the cache.
#pragma once

#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/data/formats.h"
#include "fathom/data/token_file.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// The token files of `inputs` (DataConfig::train or ::validation). What is a token file already is
/// read in full, once for each state of the file, and checked: that it is whole, and that this
/// tokenizer made it. All text together becomes one token file,
/// CACHE_DIR/KEY.tokens, first in the list; KEY is the SHA-256 of the tokenizer, the options and
/// the files' contents, so nothing is done twice. Checksums of files are remembered by size, time
/// and inode.
/// @param title of the progress bar, "prepare train"
/// @param names for messages
/// @throws DataError, DiskError
std::vector<TokenFile> prepared(const std::vector<std::string>& inputs, const DataConfig& config,
                                const Tokenizer& tokenizer, const std::string& title,
                                const Log& log, const StopFlag& stop,
                                SettingNames names = SettingNames::keys);

/// Whether `prepared` has little to do for the data of a config: it is prepared, or a few megabytes
/// of text. @throws DataError as `find_files` does
bool is_quick_to_prepare(const DataConfig& config, const Tokenizer& tokenizer);

/// @throws DataError if another tokenizer made the file
void check_tokenizer(const TokenFile& file, const Tokenizer& tokenizer,
                     SettingNames names = SettingNames::keys);

}  // namespace fathom
