// .zst: one or more Zstandard frames, each complete.
#include <zstd.h>

#include "data/formats/format.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

/// Windows of up to 2^27 bytes, as the zstd tool's default: a frame may ask for 2 GB of memory.
constexpr int kWindowLogMax = 27;

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
    if (ZSTD_isError(result) != 0)
      throw DataError(cat(path_, " is not valid zstd data: ", ZSTD_getErrorName(result)));
  }

  std::unique_ptr<ByteSource> packed_;
  std::string path_;
  std::vector<std::byte> input_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  size_t frame_state_ = 1;  // of the last call: 0 = a frame is complete
  bool pending_output_ = false;
};

std::unique_ptr<ByteSource> open(std::unique_ptr<ByteSource> packed, const std::string& path) {
  return std::make_unique<ZstdSource>(std::move(packed), path);
}

}  // namespace

const Compression kZstd{"zstd", {".zst"}, "any of these, packed by zstd", open};

}  // namespace fathom
