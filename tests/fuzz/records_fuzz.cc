// A text file and a file of JSON lines, under each policy for invalid UTF-8: every document is
// valid UTF-8.
#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "fathom/data/find_files.h"
#include "fathom/data/formats.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

void read_all(const std::string& path, const std::string& policy) {
  const ReadOptions options{.text_field = "text", .on_invalid_utf8 = policy};
  const CutFunction cut = [](std::string_view) { return TextCut{kMaxTextPart}; };
  try {
    const DataFile file = find_files({path}).at(0);
    const auto reader = open_records(file, options, cut);
    for (Record record; reader->next(record); record = {}) {
      const std::string text = document_text(file, record, options);
      promise(scan_utf8(text).bad == 0, "a document is valid UTF-8");
      promise(policy != "error" || record.replacements == 0, "nothing is replaced unasked");
    }
  } catch (const DataError&) {
  }
}

}  // namespace

void fuzz_one(std::string_view input) {
  for (const char* name : {"x.jsonl", "x.txt"}) {
    const std::string path = folder().write(name, input);
    for (const char* policy : {"error", "replace", "skip"}) read_all(path, policy);
  }
}

}  // namespace fathom
