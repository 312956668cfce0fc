// A token file whose header is sealed as a writer would, so that inputs get past the checksum of
// it.
#include <cstring>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/data/token_file.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

constexpr size_t kSealed = 144;  // bytes of the header that its checksum covers
constexpr size_t kSealBytes = 32;

/// The input with the checksum of its header put in.
std::string sealed(std::string_view input) {
  std::string bytes(input);
  if (bytes.size() < kSealed + kSealBytes) return bytes;
  const std::string hex = sha256(bytes.substr(0, kSealed));
  for (size_t i = 0; i < kSealBytes; ++i)
    bytes[kSealed + i] = static_cast<char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return bytes;
}

void read_all(const TokenFile& file) {
  const TokenFileInfo& info = file.info();
  std::vector<int64_t> ids(info.num_tokens);
  if (!ids.empty()) file.read(0, ids);
  for (const int64_t id : ids) promise(id >= 0 && id <= info.max_id, "ids are in the vocabulary");
  for (uint64_t document = 0; document < info.num_documents; ++document) {
    const uint64_t start = file.document_start(document);
    promise(start < info.num_tokens && file.document_start(document + 1) > start,
            "documents lie one after the other");
    promise(file.document_of(start) == document, "a document holds its first token");
  }
}

}  // namespace

void fuzz_one(std::string_view input) {
  const std::string path = folder().write("x.tokens", sealed(input));
  try {
    const TokenFile file = TokenFile::open(path);
    read_all(file);
    file.verify(StopFlag());
  } catch (const DataError&) {
  }
}

}  // namespace fathom
