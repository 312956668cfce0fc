// What the fuzz targets share. A target is a file NAME_fuzz.cc that defines fuzz_one: libFuzzer
// calls it with inputs that it makes up (scripts/fuzz.sh), the test suite with the files of
// corpus/NAME.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/temporary_folder.h"

namespace fathom {

/// Gives an input to a reader. Whatever it is, the reader returns what its declaration promises, or
/// throws the error type that it declares: anything else ends the process.
void fuzz_one(std::string_view input);

/// Ends the process where a reader's result isn't what it promises.
inline void promise(bool kept, const char* what) {
  if (kept) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

/// The process's folder, for readers of files.
inline const testing::TemporaryFolder& folder() {
  static const testing::TemporaryFolder folder;
  return folder;
}

}  // namespace fathom
