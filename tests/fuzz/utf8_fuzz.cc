// UTF-8: what replaces ill-formed bytes is valid, and valid text stays as it is.
#include "fathom/base/utf8.h"
#include "fuzz/fuzz.h"

namespace fathom {

void fuzz_one(std::string_view input) {
  const Utf8Scan scan = scan_utf8(input);
  promise(scan.valid + scan.bad <= input.size(), "a scan stays in the text");
  promise(scan.bad > 0 || scan.valid == input.size(), "a scan ends at the end or at bad bytes");
  promise(scan_utf8(input.substr(0, scan.valid)).bad == 0, "the prefix is valid");
  std::string valid;
  const size_t replaced = append_replacing(input, valid);
  promise(scan_utf8(valid).bad == 0, "what replaces bad bytes is valid");
  promise((replaced == 0) == (scan.bad == 0), "bad bytes are replaced, and only those");
  promise(replaced > 0 || valid == input, "valid text stays as it is");
  for (size_t at = 0; at <= valid.size(); ++at) {
    const size_t start = character_start(valid, at);
    promise(start <= at && next_character(valid, start) == start, "characters start at starts");
  }
}

}  // namespace fathom
