// Where training text comes from: files, folders and globs.
#pragma once

#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/data/formats.h"

namespace fathom {

/// The files that paths, folders (all files of known formats below them, sorted) and globs (*, ?,
/// [abc], ** for any folders) name, in the order given. Links to folders are followed, each folder
/// and each file counts once. Of a folder are left out: hidden files, unknown formats, and what
/// describes a data set (README.md, dataset_info.json, ...), as Hugging Face's datasets does; a
/// file that is named itself is taken.
/// @param log is told what is left out, with their number and the names of up to 500; null: nobody
/// @throws DataError for what doesn't exist, matches nothing, or has no known extension
std::vector<DataFile> find_files(const std::vector<std::string>& patterns,
                                 const Log* log = nullptr);

}  // namespace fathom
