#include "fathom/io/internal/weight_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

constexpr size_t kPartBytes = 256 << 10;

struct NotFinite {
  size_t index;
  std::string value;
};

/// @tparam kInfinity an IEEE type's: its exponent's bits are set in every infinity and NaN
template <typename Word, Word kInfinity>
std::optional<NotFinite> first_not_finite(std::span<const std::byte> bytes) {
  const size_t count = bytes.size() / sizeof(Word);
  const auto word_at = [&](size_t i) {
    Word word;
    std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
    return word;
  };
  const auto is_finite = [&](size_t i) { return (word_at(i) & kInfinity) != kInfinity; };
  bool all = true;  // without a way out of the loop, it is one of vectors
  for (size_t i = 0; i < count; ++i) all &= is_finite(i);
  if (all) return std::nullopt;
  size_t i = 0;
  while (is_finite(i)) ++i;
  constexpr auto kSign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  const Word word = word_at(i);
  return NotFinite{i, word == kInfinity ? "inf" : word == (kInfinity | kSign) ? "-inf" : "nan"};
}

/// Fathom computes in float32, whatever the weights are stored in.
std::optional<NotFinite> first_beyond_float32(std::span<const std::byte> bytes) {
  const size_t count = bytes.size() / sizeof(double);
  const auto number_at = [&](size_t i) {
    double number;
    std::memcpy(&number, bytes.data() + i * sizeof(double), sizeof(double));
    return number;
  };
  const auto fits = [&](size_t i) {
    return std::abs(number_at(i)) <= double{std::numeric_limits<float>::max()};
  };
  bool all = true;
  for (size_t i = 0; i < count; ++i) all &= fits(i);
  if (all) return std::nullopt;
  size_t i = 0;
  while (fits(i)) ++i;
  const bool is_finite = std::isfinite(number_at(i));
  return NotFinite{i, cat(number_at(i), is_finite ? ", beyond float32," : "")};
}

std::optional<NotFinite> first_not_finite(TensorType type, std::span<const std::byte> bytes) {
  switch (type) {
    case TensorType::kF32:
      return first_not_finite<uint32_t, 0x7F800000U>(bytes);
    case TensorType::kBF16:
      return first_not_finite<uint16_t, 0x7F80U>(bytes);
    case TensorType::kF16:
      return first_not_finite<uint16_t, 0x7C00U>(bytes);
    case TensorType::kF64:
      return first_beyond_float32(bytes);
    default:
      return std::nullopt;
  }
}

std::string checksum(std::span<const std::byte> bytes) {
  Checksum sum;
  sum.update(bytes);
  return sum.hex_digest();
}

/// "[3, 17]" of element `index`.
std::string position(size_t index, const std::vector<int64_t>& shape) {
  std::vector<std::string> places;
  for (size_t i = shape.size(); i-- > 0;) {
    places.push_back(std::to_string(index % static_cast<size_t>(shape[i])));
    index /= static_cast<size_t>(shape[i]);
  }
  std::reverse(places.begin(), places.end());
  return cat("[", join(places), "]");
}

}  // namespace

WeightCheck::WeightCheck(const std::filesystem::path& directory)
    : manifest_(find_manifest(directory)) {}

const Manifest::File* WeightCheck::listed(const SafetensorsFile& file) const {
  if (!manifest_) return nullptr;
  const auto found = manifest_->files.find(file.path().filename().string());
  return found == manifest_->files.end() ? nullptr : &found->second;
}

void WeightCheck::check_file(const SafetensorsFile& file) const {
  const Manifest::File* expected = listed(file);
  if (expected == nullptr) return;
  const auto refuse = [&](const std::string& what) {
    throw CheckpointError(cat(file.path().string(), ": ", what));
  };
  if (file.bytes().size() != expected->size)
    refuse(cat("has ", file.bytes().size(), " bytes; the manifest says ", expected->size));
  if (expected->tensors.empty()) {
    Sha256 hash;
    hash.update(file.bytes());
    if (hash.hex_digest() != expected->sha256)
      refuse("is damaged: its SHA-256 isn't the manifest's; use another copy or checkpoint");
  } else if (checksum(file.header()) != expected->header) {
    refuse(
        "its header is damaged: its checksum isn't the manifest's; use another copy or checkpoint");
  }
}

void WeightCheck::read(const SafetensorsFile& file, std::string_view name, bool must_be_finite,
                       const std::function<void(std::span<const std::byte>)>& use) const {
  const SafetensorsFile::Tensor& tensor = file.at(name);
  const auto refuse = [&](const std::string& what) {
    throw CheckpointError(cat(file.path().string(), ": tensor ", quote_name(name), " ", what));
  };
  const Manifest::File* of_file = listed(file);
  const bool has_checksum = of_file != nullptr && !of_file->tensors.empty();
  Checksum sum;
  std::optional<NotFinite> bad;
  for (size_t at = 0; at < tensor.bytes.size(); at += kPartBytes) {
    const auto part = tensor.bytes.subspan(at, std::min(kPartBytes, tensor.bytes.size() - at));
    if (has_checksum) sum.update(part);
    if (must_be_finite && !bad) {
      bad = first_not_finite(tensor.dtype, part);
      if (bad) bad->index += at / size_of(tensor.dtype);
    }
    use(part);
  }
  if (has_checksum) {
    const auto expected = of_file->tensors.find(name);
    if (expected == of_file->tensors.end() || sum.hex_digest() != expected->second)
      refuse("is damaged: its checksum isn't the manifest's; use another copy or checkpoint");
  }
  if (bad)
    refuse(cat("holds ", bad->value, " at ", position(bad->index, tensor.shape),
               ", and such a model computes nothing; use an earlier checkpoint or another copy"));
}

}  // namespace fathom
