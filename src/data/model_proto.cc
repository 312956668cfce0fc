#include "data/model_proto.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

constexpr size_t kMaxBytes = size_t{64} << 20;
constexpr size_t kMaxPieces = 1'000'000;
constexpr size_t kMaxPieceBytes = 1024;

// Wire types of protocol buffers; groups (3, 4) are obsolete and refused.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

// Types of pieces.
constexpr uint64_t kUnknown = 2;
constexpr uint64_t kControl = 3;
constexpr uint64_t kUserDefined = 4;

/// One field of a message. `number` holds a varint or the bits of a fixed-size value.
struct WireField {
  uint32_t id = 0;
  uint32_t type = 0;
  uint64_t number = 0;
  std::string_view bytes;
};

/// Walks over the fields of one message.
class WireReader {
 public:
  WireReader(std::string_view message, std::string_view name) : rest_(message), name_(name) {}

  /// The next field, or nothing at the end. @throws DataError where the bytes aren't a field
  std::optional<WireField> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    WireField field;
    field.id = static_cast<uint32_t>(tag >> 3);
    field.type = static_cast<uint32_t>(tag & 7);
    if (field.id == 0 || tag > UINT32_MAX) reject("has a field with an impossible number");
    if (field.type == kVarint) {
      field.number = varint();
    } else if (field.type == kFixed64 || field.type == kFixed32) {
      const std::string_view raw = take(field.type == kFixed64 ? 8 : 4);
      std::memcpy(&field.number, raw.data(), raw.size());
    } else if (field.type == kBytes) {
      field.bytes = take(varint());
    } else {
      reject(cat("has a field of wire type ", field.type));
    }
    return field;
  }

  [[noreturn]] void reject(const std::string& reason) const {
    throw DataError(cat(name_, " is not a SentencePiece model: it ", reason));
  }

  /// Refuses a field of another wire type than its declaration's.
  void expect(const WireField& field, uint32_t type, const char* what) const {
    if (field.type != type) reject(cat("has a ", what, " of wire type ", field.type));
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    reject("has a number of more than ten bytes");
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) reject("ends inside a field");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  std::string_view name_;
};

uint32_t unit_at(std::string_view units, size_t index) {
  uint32_t unit = 0;
  std::memcpy(&unit, units.data() + 4 * index, 4);
  return unit;
}

/// A unit of Darts' double array, decoded as darts.h does it.
struct DartsUnit {
  explicit DartsUnit(uint32_t unit)
      : is_value((unit >> 31) != 0),
        has_leaf(((unit >> 8) & 1) != 0),
        offset(static_cast<size_t>(unit >> 10) << ((unit & (1U << 9)) >> 6)) {}
  bool is_value;  ///< holds a value: a search never goes on from it
  bool has_leaf;
  size_t offset;
};

/// A character map is [u32 size of the trie][trie: units of 4 bytes][replacements, each ended by
/// NUL]. From the unit at `i` a search goes on to `(i ^ offset) ^ byte` for any byte, so the whole
/// block of 256 units around the target has to exist; a leaf's value is a place in the
/// replacements.
void check_character_map(std::string_view map, const WireReader& reader) {
  if (map.empty()) return;
  uint32_t trie_bytes = 0;
  if (map.size() > sizeof trie_bytes) std::memcpy(&trie_bytes, map.data(), sizeof trie_bytes);
  map.remove_prefix(std::min(map.size(), sizeof trie_bytes));
  if (trie_bytes == 0 || trie_bytes % 1024 != 0 || trie_bytes >= map.size())
    reader.reject("has a character map whose size doesn't fit");
  const std::string_view units = map.substr(0, trie_bytes);
  const std::string_view replacements = map.substr(trie_bytes);
  if (replacements.back() != '\0' || scan_utf8(replacements).bad != 0)
    reader.reject("has a character map with broken replacements");
  const size_t num_units = units.size() / 4;
  for (size_t i = 0; i < num_units; ++i) {
    const DartsUnit unit(unit_at(units, i));
    if (unit.is_value && i != 0) continue;  // a search starts at the root whatever it holds
    const size_t target = i ^ unit.offset;
    if (target >= num_units)  // blocks of 256 are whole: trie_bytes is a multiple of 4 * 256
      reader.reject("has a character map that points outside of itself");
    if (!unit.has_leaf) continue;
    const size_t value = unit_at(units, target) & ~(1U << 31);
    if (value >= replacements.size() || next_character(replacements, value) != value)
      reader.reject("has a character map that points outside of its replacements");
  }
}

/// What decides ModelProtoInfo::independent_words.
struct WordRules {
  bool is_bpe = false;
  bool byte_fallback = false;
  bool space_ends_word = false;  // treat_whitespace_as_suffix
  bool normalizes = false;
  bool drops_spaces = true;  // remove_extra_whitespaces
  bool escapes_spaces = true;
  bool piece_crosses = false;

  bool independent() const {
    return is_bpe && byte_fallback && !space_ends_word && !normalizes && !drops_spaces &&
           escapes_spaces && !piece_crosses;
  }
};

/// Whether a piece may hold the end of a word and what follows. User-defined pieces are found
/// before anything else, so they always may.
bool crosses_words(std::string_view piece, uint64_t type) {
  constexpr std::string_view kSpace = "\xE2\x96\x81";
  const bool mixed_breaks = piece.find('\n') != std::string_view::npos &&
                            piece.find_first_not_of('\n') != std::string_view::npos;
  while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
  return type == kUserDefined || mixed_breaks || piece.find(kSpace) != std::string_view::npos;
}

/// @returns whether the piece is the unknown one
bool check_piece(std::string_view message, std::string_view name, ModelProtoInfo& info,
                 WordRules& rules) {
  const size_t index = info.num_pieces++;
  WireReader reader(message, name);
  std::string_view piece;
  uint64_t type = 1;
  float score = 0;
  while (const auto field = reader.next()) {
    if (field->id == 1) {
      reader.expect(*field, kBytes, "piece");
      piece = field->bytes;
    } else if (field->id == 2) {
      reader.expect(*field, kFixed32, "score");
      score = std::bit_cast<float>(static_cast<uint32_t>(field->number));
    } else if (field->id == 3) {
      reader.expect(*field, kVarint, "type");
      type = field->number;
    }
  }
  if (piece.empty() || piece.size() > kMaxPieceBytes)
    reader.reject(cat("has a piece of ", piece.size(), " bytes (number ", index,
                      "); allowed: 1 to ", kMaxPieceBytes));
  if (scan_utf8(piece).bad != 0 || piece.find('\0') != std::string_view::npos)
    reader.reject(cat("has a piece that isn't text (number ", index, ")"));
  if (!std::isfinite(score))
    reader.reject(cat("has a score that isn't finite (piece ", index, ")"));
  if (type < 1 || type > 6)
    reader.reject(cat("has a piece of type ", type, " (number ", index, ")"));
  rules.piece_crosses = rules.piece_crosses || crosses_words(piece, type);
  if (type == kControl || type == kUserDefined)
    info.marked.push_back(
        {static_cast<int32_t>(index), std::string(piece), /*is_control=*/type == kControl});
  return type == kUnknown;
}

void check_trainer(std::string_view message, std::string_view name, WordRules& rules) {
  constexpr uint64_t kBpe = 2;
  WireReader reader(message, name);
  while (const auto field = reader.next()) {
    if (field->id == 3) rules.is_bpe = field->number == kBpe;
    if (field->id == 24) rules.space_ends_word = field->number != 0;
    if (field->id == 35) rules.byte_fallback = field->number != 0;
  }
}

void check_normalizer(std::string_view message, std::string_view name, ModelProtoInfo& info,
                      WordRules& rules) {
  WireReader reader(message, name);
  while (const auto field = reader.next()) {
    if (field->id == 2) {
      reader.expect(*field, kBytes, "character map");
      check_character_map(field->bytes, reader);
      rules.normalizes = rules.normalizes || !field->bytes.empty();
    } else if (field->id >= 3 && field->id <= 5) {
      reader.expect(*field, kVarint, "flag");
      const bool value = field->number != 0;
      if (field->id == 3) info.add_dummy_prefix = value;
      if (field->id == 4) rules.drops_spaces = value;
      if (field->id == 5) rules.escapes_spaces = value;
    }
  }
}

}  // namespace

ModelProtoInfo check_model_proto(std::string_view bytes, std::string_view name) {
  WireReader reader(bytes, name);
  if (bytes.empty()) reader.reject("is empty");
  if (bytes.size() > kMaxBytes) reader.reject(cat("has more than ", kMaxBytes, " bytes"));
  ModelProtoInfo info;
  WordRules rules;
  size_t num_unknown = 0;
  while (const auto field = reader.next()) {
    if (field->id < 1 || field->id > 5) continue;  // extensions
    reader.expect(*field, kBytes, "part");
    if (field->id == 1) {
      if (info.num_pieces == kMaxPieces)
        reader.reject(cat("has more than ", kMaxPieces, " pieces"));
      num_unknown += check_piece(field->bytes, name, info, rules) ? 1 : 0;
    } else if (field->id == 2) {
      check_trainer(field->bytes, name, rules);
    } else if (field->id == 3) {
      check_normalizer(field->bytes, name, info, rules);
    } else if (field->id == 5) {
      ModelProtoInfo of_decoding;
      WordRules rules_of_decoding;
      check_normalizer(field->bytes, name, of_decoding, rules_of_decoding);
    } else {
      WireReader self_test(field->bytes, name);
      while (self_test.next()) {
      }
    }
  }
  if (num_unknown != 1)
    reader.reject(cat("has ", num_unknown, " unknown pieces among ", info.num_pieces,
                      "; exactly one is needed"));
  info.independent_words = rules.independent();
  return info;
}

std::string with_dummy_prefix(std::string_view model, bool add_dummy_prefix) {
  std::string changed(model);
  changed += std::string{'\x1a', '\x02', '\x18', static_cast<char>(add_dummy_prefix ? 1 : 0)};
  return changed;
}

}  // namespace fathom
