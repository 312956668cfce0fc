// .gz: one or more gzip members, each complete and with the right checksum; zeros after a member,
// as tapes and archives pad with, mean nothing. A file of no bytes holds no bytes.
#include <zlib.h>

#include <algorithm>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;
constexpr int kGzipOnly = 16 + MAX_WBITS;

/// gzread() takes a truncated file for a whole one, so this uses inflate() and insists on the end
/// of each member; zlib compares checksum and length there.
class GzipSource : public ByteSource {
 public:
  GzipSource(std::unique_ptr<ByteSource> packed, std::string path)
      : packed_(std::move(packed)), path_(std::move(path)), input_(kBufferBytes) {
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  size_t read(std::span<std::byte> buffer) override {
    size_t done = 0;
    while (done < buffer.size() && refill() && skip_padding()) {
      const std::span<std::byte> room =
          buffer.subspan(done, std::min(buffer.size() - done, size_t{1} << 30));
      stream_.next_out = reinterpret_cast<Bytef*>(room.data());
      stream_.avail_out = static_cast<uInt>(room.size());
      step();
      done += room.size() - stream_.avail_out;
    }
    return done;
  }
  uint64_t bytes_read() const override { return packed_->bytes_read(); }

 private:
  /// @returns false at a proper end of the file
  bool refill() {
    if (stream_.avail_in > 0 || pending_output_) return true;
    const size_t n = packed_->read(input_);
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(n);
    if (n > 0) return true;
    if (packed_->bytes_read() == 0) return false;  // as Python's gzip reads an empty file
    if (!member_done_ || num_members_ == 0)
      throw DataError(cat(path_, " is truncated: it ends inside its gzip data (copy it again)"));
    return false;
  }

  /// Passes over zeros between and after members, as gzip does. @returns false at the end
  bool skip_padding() {
    if (!member_done_) return true;
    while (refill()) {
      while (stream_.avail_in > 0 && *stream_.next_in == 0) {
        ++stream_.next_in;
        --stream_.avail_in;
      }
      if (stream_.avail_in > 0) return true;
    }
    return false;
  }

  void step() {
    if (member_done_) {
      if (inflateReset2(&stream_, kGzipOnly) != Z_OK) throw DataError(cat(path_, ": zlib failed"));
      member_done_ = false;
    }
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) reject();
    member_done_ = result == Z_STREAM_END;
    if (member_done_) ++num_members_;
    // A full output buffer may hide that the decompressor holds back more of it.
    pending_output_ = !member_done_ && stream_.avail_out == 0;
  }

  [[noreturn]] void reject() const {
    const std::string reason = stream_.msg == nullptr ? "bad data" : stream_.msg;
    if (num_members_ > 0 && stream_.total_out == 0)
      throw DataError(cat(path_, " has something other than gzip data after its gzip data (",
                          reason, "); if that may be dropped: gzip -dc ", shell_quoted(path_),
                          " | gzip > ", shell_quoted(path_ + ".new.gz")));
    throw DataError(cat(path_, " is not valid gzip data: ", reason, "; copy it again"));
  }

  std::unique_ptr<ByteSource> packed_;
  std::string path_;
  std::vector<std::byte> input_;
  z_stream stream_{};
  bool member_done_ = false;
  bool pending_output_ = false;
  uint64_t num_members_ = 0;
};

bool is_packed(std::string_view head) { return head.starts_with("\x1F\x8B"); }

std::unique_ptr<ByteSource> open(std::unique_ptr<ByteSource> packed, const std::string& path) {
  return std::make_unique<GzipSource>(std::move(packed), path);
}

}  // namespace

const Compression kGzip{"gzip",    {".gz"},   "any of these, packed by gzip",
                        "gzip -d", is_packed, open};

}  // namespace fathom
