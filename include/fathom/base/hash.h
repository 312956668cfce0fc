// SHA-256, so that `sha256sum` can check what Fathom writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fathom {

/// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// 64 lowercase hex digits; the object can't be updated after it.
  std::string hex_digest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Incremental XXH3 of 64 bits: finds damage, and costs next to nothing beside reading the bytes.
/// It is no protection from intent.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// 16 lowercase hex digits.
  std::string hex_digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Random bits of a name: the first 64 of the SHA-256 of "seed:name".
uint64_t seed_of(int64_t seed, std::string_view name);

/// SHA-256 of a text, as hex.
std::string sha256(std::string_view text);

/// SHA-256 of a file's content, as hex. @throws DiskError if it can't be read
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace fathom
