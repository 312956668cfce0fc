// manifest.json of a checkpoint, as it is and sealed with its own SHA-256: what is accepted reads
// the same once written.
#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/io/internal/manifest.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

Manifest read(std::string_view text) {
  folder().write(std::string(kManifestName), text);
  return read_manifest(folder().path());
}

void fuzz_text(const std::string& text) {
  std::string written;
  try {
    written = format_manifest(read(text));
  } catch (const CheckpointError&) {
    return;
  }
  promise(format_manifest(read(written)) == written, "a manifest reads as it was written");
}

}  // namespace

void fuzz_one(std::string_view input) {
  fuzz_text(std::string(input));
  const std::string body = std::string(input) + ",\n";
  fuzz_text(cat(body, "  \"manifest_sha256\": \"", sha256(body), "\"\n}\n"));
}

}  // namespace fathom
