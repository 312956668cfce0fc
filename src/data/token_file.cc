#include "fathom/data/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "fathom/base/error.h"

namespace fathom {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are read by memcpy");

constexpr std::string_view kMagic = "FATHOMTK";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 256;
constexpr size_t kHashedHeaderBytes = 144;
constexpr size_t kHashBytes = 32;
constexpr size_t kBufferBytes = size_t{1} << 20;

/// The header as it lies in the file.
struct Header {
  std::array<char, 8> magic{};
  uint32_t version = kVersion;
  uint32_t width = 0;
  uint64_t num_tokens = 0;
  uint64_t num_documents = 0;
  uint64_t index_offset = 0;
  uint64_t file_size = 0;
  uint64_t empty_documents = 0;
  uint64_t skipped_documents = 0;
  uint64_t replacements = 0;
  uint32_t vocab_size = 0;
  uint32_t max_id = 0;
  std::array<unsigned char, kHashBytes> tokenizer_checksum{};
  std::array<unsigned char, kHashBytes> content_checksum{};
  std::array<unsigned char, kHashBytes> header_checksum{};
  std::array<char, 80> zeros{};
};
static_assert(sizeof(Header) == kHeaderBytes &&
              offsetof(Header, header_checksum) == kHashedHeaderBytes);

std::string hex_of(const std::array<unsigned char, kHashBytes>& hash) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : hash) {
    hex += kHex[byte >> 4];
    hex += kHex[byte & 15];
  }
  return hex;
}

std::array<unsigned char, kHashBytes> bytes_of(const std::string& hex) {
  if (hex.size() != 2 * kHashBytes) throw std::invalid_argument("a SHA-256 has 64 hex digits");
  std::array<unsigned char, kHashBytes> hash{};
  for (size_t i = 0; i < kHashBytes; ++i)
    hash[i] = static_cast<unsigned char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return hash;
}

std::array<unsigned char, kHashBytes> header_hash(const Header& header) {
  return bytes_of(sha256({reinterpret_cast<const char*>(&header), kHashedHeaderBytes}));
}

uint32_t width_for(uint64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

/// Checks that every number of a header fits the others and the file.
/// @returns what is wrong, or ""
std::string header_problem(const Header& header, uint64_t file_size) {
  if (std::string_view(header.magic.data(), header.magic.size()) != kMagic)
    return "is not a token file";
  if (header.version != kVersion)
    return cat("is a token file of version ", header.version, "; this program reads version ",
               kVersion, ": prepare the text again");
  if (header.header_checksum != header_hash(header) || header.zeros != decltype(header.zeros){})
    return "is corrupt: its header was altered";
  if (header.file_size != file_size)
    return cat("is corrupt: it has ", file_size, " bytes and should have ", header.file_size);
  const uint64_t room =
      (file_size - kHeaderBytes) / 2;  // no count of tokens or documents is larger
  const bool fits =
      header.vocab_size > 0 && header.width == width_for(header.vocab_size) &&
      header.max_id < header.vocab_size && header.num_tokens <= room &&
      header.num_documents <= room && header.num_documents <= header.num_tokens &&
      header.index_offset == kHeaderBytes + padded(header.num_tokens * header.width) &&
      header.index_offset <= file_size &&
      (header.num_documents + 1) * 8 == file_size - header.index_offset;
  return fits ? "" : "is corrupt: the numbers in its header don't fit each other";
}

template <typename Token>
void copy_tokens(const std::byte* from, std::span<int64_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    Token token = 0;
    std::memcpy(&token, from + i * sizeof(Token), sizeof(Token));
    out[i] = token;
  }
}

}  // namespace

FileIdentity FileIdentity::of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw DataError(cat("can't find ", path.string(), ": ", std::strerror(errno)));
  return {static_cast<uint64_t>(status.st_size),
          int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec, status.st_ino,
          status.st_dev};
}

bool is_token_file(const std::filesystem::path& path) {
  try {
    InputFile file(path);
    std::array<char, 8> magic{};
    return file.read(std::as_writable_bytes(std::span(magic))) == magic.size() &&
           std::string_view(magic.data(), magic.size()) == kMagic;
  } catch (const DiskError&) {
    return false;
  }
}

TokenFile TokenFile::open(const std::filesystem::path& path, bool hold_open) {
  const FileIdentity identity = FileIdentity::of(path);
  try {
    MappedFile map(path);
    if (!hold_open) map.close_descriptor();
    return TokenFile(std::move(map), identity);
  } catch (const DiskError& error) {
    throw DataError(error.what());
  }
}

TokenFile::TokenFile(MappedFile map, FileIdentity identity)
    : map_(std::move(map)), identity_(identity) {
  const std::span<const std::byte> bytes = map_.bytes();
  Header header;
  if (bytes.size() < kHeaderBytes)
    throw DataError(
        cat(path().string(), " is not a token file: it has only ", bytes.size(), " bytes"));
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::string problem = header_problem(header, bytes.size());
  if (!problem.empty()) throw DataError(cat(path().string(), " ", problem));
  info_ = {header.width,
           header.num_tokens,
           header.num_documents,
           header.empty_documents,
           header.skipped_documents,
           header.replacements,
           header.vocab_size,
           header.max_id,
           hex_of(header.tokenizer_checksum),
           hex_of(header.content_checksum)};
}

uint64_t TokenFile::index_offset(uint64_t document) const {
  return kHeaderBytes + padded(info_.num_tokens * info_.width) + 8 * document;
}

uint64_t TokenFile::index_entry(uint64_t document) const {
  uint64_t start = 0;
  std::memcpy(&start, map_.bytes().data() + index_offset(document), sizeof start);
  return start;
}

void TokenFile::reject_index(uint64_t document) const {
  throw DataError(cat(path().string(), " is corrupt: its index is wrong at document ", document));
}

void TokenFile::read_document_starts(uint64_t first, std::span<uint64_t> out) const {
  try {
    map_.read_at(index_offset(first), std::as_writable_bytes(out));
  } catch (const DiskError& error) {
    throw DataError(error.what());
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const bool right = i == 0 ? first > 0 || out[0] == 0 : out[i] > out[i - 1];
    if (!right || out[i] > info_.num_tokens) reject_index(first + i);
  }
}

uint64_t TokenFile::document_start(uint64_t document) const {
  const uint64_t start = index_entry(document);
  const uint64_t before = document == 0 ? 0 : index_entry(document - 1);
  const bool at_end = document == info_.num_documents;
  const bool right = document == 0 ? start == 0 : start > before;
  if (!right || start > info_.num_tokens || (at_end && start != info_.num_tokens))
    reject_index(document);
  return start;
}

uint64_t TokenFile::document_of(uint64_t token) const {
  uint64_t low = 0;
  uint64_t high = info_.num_documents;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (index_entry(middle) <= token ? low : high) = middle;
  }
  return low;
}

void TokenFile::read(uint64_t begin, std::span<int64_t> out) const {
  if (begin > info_.num_tokens || out.size() > info_.num_tokens - begin)
    throw std::out_of_range("TokenFile::read beyond the end");
  std::vector<std::byte> bytes(out.size() * info_.width);
  try {
    map_.read_at(kHeaderBytes + begin * info_.width, bytes);
  } catch (const DiskError& error) {
    throw DataError(error.what());
  }
  if (info_.width == 2)
    copy_tokens<uint16_t>(bytes.data(), out);
  else
    copy_tokens<uint32_t>(bytes.data(), out);
  const auto largest = std::max_element(out.begin(), out.end());
  if (largest != out.end() && *largest > info_.max_id)
    throw DataError(cat(path().string(), " is corrupt: token ",
                        begin + static_cast<uint64_t>(largest - out.begin()), " is ", *largest,
                        ", the largest should be ", info_.max_id));
}

void TokenFile::verify(const StopFlag& stop) const {
  check_unchanged();
  Sha256 hash;
  const uint64_t size = map_.bytes().size();
  std::vector<std::byte> buffer(std::min<uint64_t>(size, kBufferBytes));
  for (uint64_t offset = kHeaderBytes; offset < size; offset += buffer.size()) {
    stop.check();
    const auto block = std::span(buffer).first(std::min<uint64_t>(buffer.size(), size - offset));
    map_.read_at(offset, block);
    hash.update(block);
  }
  if (hash.hex_digest() != info_.content_checksum)
    throw DataError(cat(path().string(), " is corrupt: its checksum differs; prepare it again"));
  for (uint64_t document = 0; document <= info_.num_documents; ++document) {
    if (document % 4096 == 0) stop.check();
    document_start(document);
  }
  std::vector<int64_t> ids(4096);
  for (uint64_t begin = 0; begin < info_.num_tokens; begin += ids.size()) {
    stop.check();
    read(begin, std::span(ids).first(std::min<uint64_t>(ids.size(), info_.num_tokens - begin)));
  }
}

void TokenFile::check_unchanged() const {
  if (FileIdentity::of(path()) != identity_)
    throw DataError(cat(path().string(),
                        " was changed while it was in use; start again, so that the "
                        "run sees one version of its data"));
}

/// Numbers that are written now and read back once, in a file without a name: an index of many
/// documents needn't fit in memory.
class TokenFileWriter::Spill {
 public:
  explicit Spill(const std::filesystem::path& beside) : path_(beside.string() + ".index-XXXXXX") {
    descriptor_ = ::mkostemp(path_.data(), O_CLOEXEC);
    if (descriptor_ < 0) throw_disk_error("can't create", path_, errno);
    ::unlink(path_.c_str());
  }
  ~Spill() { ::close(descriptor_); }
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  void add(uint64_t value) {
    buffer_.push_back(value);
    if (buffer_.size() * 8 >= kBufferBytes) flush();
  }

  /// Calls `visit` with the bytes of all numbers, in blocks.
  template <typename Visit>
  void replay(const Visit& visit) {
    flush();
    std::vector<std::byte> block(kBufferBytes);
    for (off_t offset = 0;;) {
      const ssize_t n = ::pread(descriptor_, block.data(), block.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_disk_error("can't read", path_, errno);
      if (n == 0) return;
      visit(std::span(block).first(static_cast<size_t>(n)));
      offset += n;
    }
  }

 private:
  void flush() {
    std::span<const std::byte> rest = std::as_bytes(std::span(buffer_));
    while (!rest.empty()) {
      const ssize_t n = ::write(descriptor_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_disk_error("can't write", path_, errno);
      rest = rest.subspan(static_cast<size_t>(n));
    }
    buffer_.clear();
  }

  std::string path_;
  int descriptor_ = -1;
  std::vector<uint64_t> buffer_;
};

TokenFileWriter::TokenFileWriter(const std::filesystem::path& path, int64_t vocab_size,
                                 const std::string& tokenizer_checksum)
    : file_(path), index_(std::make_unique<Spill>(path)) {
  info_.vocab_size = static_cast<uint32_t>(vocab_size);
  info_.width = width_for(info_.vocab_size);
  info_.tokenizer_checksum = tokenizer_checksum;
  file_.write(std::vector<std::byte>(kHeaderBytes));
  index_->add(0);
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::write_content(std::span<const std::byte> bytes) {
  content_.update(bytes);
  file_.write(bytes);
}

void TokenFileWriter::add_tokens(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    const auto token = static_cast<uint32_t>(id);
    if (token >= info_.vocab_size)
      throw DataError(cat("token id ", id, " isn't in the vocabulary of ", info_.vocab_size));
    info_.max_id = std::max(info_.max_id, token);
    const auto* bytes = reinterpret_cast<const std::byte*>(&token);
    buffer_.insert(buffer_.end(), bytes, bytes + info_.width);
  }
  info_.num_tokens += ids.size();
  if (buffer_.size() < kBufferBytes) return;
  write_content(buffer_);
  buffer_.clear();
}

void TokenFileWriter::end_document() {
  ++info_.num_documents;
  index_->add(info_.num_tokens);
}

TokenFileInfo TokenFileWriter::publish(const TokenFileInfo& notes) {
  buffer_.resize(padded(info_.num_tokens * info_.width) -
                 (info_.num_tokens * info_.width - buffer_.size()));
  write_content(buffer_);
  Header header;
  header.index_offset = file_.bytes_written();
  index_->replay([this](std::span<const std::byte> bytes) { write_content(bytes); });
  info_.content_checksum = content_.hex_digest();
  info_.empty_documents = notes.empty_documents;
  info_.skipped_documents = notes.skipped_documents;
  info_.replacements = notes.replacements;
  std::copy(kMagic.begin(), kMagic.end(), header.magic.begin());
  header.width = info_.width;
  header.num_tokens = info_.num_tokens;
  header.num_documents = info_.num_documents;
  header.file_size = file_.bytes_written();
  header.empty_documents = info_.empty_documents;
  header.skipped_documents = info_.skipped_documents;
  header.replacements = info_.replacements;
  header.vocab_size = info_.vocab_size;
  header.max_id = info_.max_id;
  header.tokenizer_checksum = bytes_of(info_.tokenizer_checksum);
  header.content_checksum = bytes_of(info_.content_checksum);
  header.header_checksum = header_hash(header);
  file_.write_at(0, std::as_bytes(std::span(&header, 1)));
  file_.publish();
  return info_;
}

}  // namespace fathom
