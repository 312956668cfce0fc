// gzip and zstd: a stream gives the same bytes, or the same refusal, however much of it is asked
// for at once.
#include <algorithm>
#include <optional>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

constexpr size_t kMostBytes = size_t{64} << 10;  // of an input that expands

class InputSource : public ByteSource {
 public:
  explicit InputSource(std::string_view input) : input_(input) {}
  size_t read(std::span<std::byte> buffer) override {
    const size_t n = std::min(buffer.size(), input_.size() - done_);
    std::copy_n(reinterpret_cast<const std::byte*>(input_.data()) + done_, n, buffer.begin());
    done_ += n;
    return n;
  }
  uint64_t bytes_read() const override { return done_; }

 private:
  std::string_view input_;
  size_t done_ = 0;
};

/// All bytes up to kMostBytes; nothing where the stream is refused.
std::optional<std::string> unpack(const Compression& format, std::string_view input, size_t part) {
  try {
    const auto source = format.open(std::make_unique<InputSource>(input), "x");
    std::string bytes;
    std::vector<std::byte> buffer(part);
    while (bytes.size() < kMostBytes) {
      const size_t n = source->read(buffer);
      if (n == 0) return bytes;
      bytes.append(reinterpret_cast<const char*>(buffer.data()), n);
    }
    return bytes.substr(0, kMostBytes);
  } catch (const DataError&) {
    return std::nullopt;
  }
}

}  // namespace

void fuzz_one(std::string_view input) {
  for (const Compression* format : {&kGzip, &kZstd}) {
    const auto whole = unpack(*format, input, kMostBytes + 1);
    const auto parts = unpack(*format, input, 61);
    const bool cut =
        (whole && whole->size() == kMostBytes) || (parts && parts->size() == kMostBytes);
    promise(cut || whole == parts, "a stream doesn't depend on how it is read");
  }
}

}  // namespace fathom
