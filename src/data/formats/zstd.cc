// .zst: one or more Zstandard frames, each complete.
#include <zstd.h>
#include <zstd_errors.h>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

/// The largest window that zstd --long=31 writes: reading such a frame takes 2 GiB of memory, as
/// much as the text itself if that is less.
constexpr int kWindowLogMax = sizeof(void*) == 8 ? 31 : 30;

class ZstdSource : public ByteSource {
 public:
  ZstdSource(std::unique_ptr<ByteSource> packed, std::string path)
      : packed_(std::move(packed)),
        path_(std::move(path)),
        input_(ZSTD_DStreamInSize()),
        stream_(ZSTD_createDStream(), &ZSTD_freeDStream) {
    if (stream_ == nullptr) throw std::bad_alloc();
    check(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kWindowLogMax));
  }

  size_t read(std::span<std::byte> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos < out.size && refill()) {
      frame_state_ = ZSTD_decompressStream(stream_.get(), &out, &in_);
      check(frame_state_);
      pending_output_ = frame_state_ != 0 && out.pos == out.size;
    }
    return out.pos;
  }
  uint64_t bytes_read() const override { return packed_->bytes_read(); }

 private:
  /// @returns false at a proper end of the file
  bool refill() {
    if (in_.pos < in_.size || pending_output_) return true;
    in_ = {input_.data(), packed_->read(input_), 0};
    if (in_.size > 0) return true;
    if (frame_state_ != 0)
      throw DataError(cat(path_, " is truncated: it ends inside its zstd data (copy it again)"));
    return false;
  }

  void check(size_t result) const {
    if (ZSTD_isError(result) == 0) return;
    const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    if (code == ZSTD_error_memory_allocation)
      throw MemoryError(
          cat("memory ran out for the window of ", path_, "; pack it again: ", repack("")));
    if (code == ZSTD_error_dictionary_wrong || code == ZSTD_error_dictionary_corrupted)
      throw DataError(cat(path_,
                          " was packed with a dictionary (zstd -D DICTIONARY); pack it again: ",
                          repack(" -D DICTIONARY")));
    if (code == ZSTD_error_frameParameter_windowTooLarge)
      throw DataError(cat(path_, " needs a window of more than 2^", kWindowLogMax,
                          " bytes; pack it again: ", repack("")));
    throw DataError(
        cat(path_, " is not valid zstd data: ", ZSTD_getErrorName(result), "; copy it again"));
  }

  std::string repack(const std::string& flags) const {
    return cat("zstd -dc --long=31", flags, " ", shell_quoted(path_), " | zstd > ",
               shell_quoted(path_ + ".new.zst"));
  }

  std::unique_ptr<ByteSource> packed_;
  std::string path_;
  std::vector<std::byte> input_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  size_t frame_state_ = 1;  // of the last call: 0 = a frame is complete
  bool pending_output_ = false;
};

/// A frame, one that is to be skipped (RFC 8878), or a frame of before zstd 0.8.
bool is_packed(std::string_view head) {
  const auto first = static_cast<unsigned char>(head[0]);
  return (head.substr(1, 3) == "\xB5\x2F\xFD" && first >= 0x22 && first <= 0x28) ||
         (head.substr(1, 3) == "\x2A\x4D\x18" && (first & 0xF0) == 0x50);
}

std::unique_ptr<ByteSource> open(std::unique_ptr<ByteSource> packed, const std::string& path) {
  return std::make_unique<ZstdSource>(std::move(packed), path);
}

}  // namespace

const Compression kZstd{"zstd",         {".zst"},  "any of these, packed by zstd",
                        "zstd -d --rm", is_packed, open};

}  // namespace fathom
