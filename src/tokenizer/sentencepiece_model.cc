#include "tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/internal/file_kinds.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

using Kind = SentencePieceModel::Kind;
using Algorithm = SentencePieceModel::Algorithm;
using Piece = SentencePieceModel::Piece;

constexpr size_t kMaxBytes = size_t{64} << 20;
constexpr size_t kMaxPieces = 1'000'000;
constexpr size_t kMaxPieceBytes = 1024;

// Wire types of protocol buffers; groups (3, 4) are obsolete and refused.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

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
      reject(cat("has a field of wire type ", field.type, ", which none has; download it again"));
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

/// Whether a piece may hold the end of a word and what follows. User-defined pieces are found
/// before anything else, so they always may.
bool crosses_words(const Piece& piece) {
  constexpr std::string_view kSpace = "\xE2\x96\x81";
  std::string_view text = piece.text;
  const bool mixed_breaks = text.find('\n') != std::string_view::npos &&
                            text.find_first_not_of('\n') != std::string_view::npos;
  while (text.starts_with(kSpace)) text.remove_prefix(kSpace.size());
  return piece.kind == Kind::kUserDefined || mixed_breaks ||
         text.find(kSpace) != std::string_view::npos;
}

/// @param index of the piece, for messages
Piece parse_piece(std::string_view message, std::string_view name, size_t index) {
  WireReader reader(message, name);
  Piece piece;
  uint64_t type = 1;
  while (const auto field = reader.next()) {
    if (field->id == 1) {
      reader.expect(*field, kBytes, "piece");
      piece.text = field->bytes;
    } else if (field->id == 2) {
      reader.expect(*field, kFixed32, "score");
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field->number));
    } else if (field->id == 3) {
      reader.expect(*field, kVarint, "type");
      type = field->number;
    }
  }
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes)
    reader.reject(cat("has a piece of ", piece.text.size(), " bytes (number ", index,
                      "); allowed: 1 to ", kMaxPieceBytes));
  if (scan_utf8(piece.text).bad != 0 || piece.text.find('\0') != std::string::npos)
    reader.reject(cat("has a piece that isn't text (number ", index, ")"));
  if (!std::isfinite(piece.score))
    reader.reject(cat("has a score that isn't finite (piece ", index, ")"));
  if (type < 1 || type > 6)
    reader.reject(cat("has a piece of type ", type, " (number ", index, ")"));
  piece.kind = static_cast<Kind>(type);
  return piece;
}

void parse_trainer(std::string_view message, std::string_view name, SentencePieceModel& model) {
  WireReader reader(message, name);
  while (const auto field = reader.next()) {
    if (field->id == 3) {
      if (field->number < 1 || field->number > 4)
        reader.reject(cat("is of a kind ", field->number, " that isn't known"));
      model.algorithm = static_cast<Algorithm>(field->number);
    }
    if (field->id == 24) model.whitespace_as_suffix = field->number != 0;
    if (field->id == 35) model.byte_fallback = field->number != 0;
  }
}

void parse_normalizer(std::string_view message, std::string_view name, SentencePieceModel& model) {
  WireReader reader(message, name);
  while (const auto field = reader.next()) {
    if (field->id == 2) {
      reader.expect(*field, kBytes, "character map");
      check_character_map(field->bytes, reader);
      model.character_map = field->bytes;
    } else if (field->id >= 3 && field->id <= 5) {
      reader.expect(*field, kVarint, "flag");
      const bool value = field->number != 0;
      if (field->id == 3) model.add_dummy_prefix = value;
      if (field->id == 4) model.remove_extra_whitespaces = value;
      if (field->id == 5) model.escape_whitespaces = value;
    }
  }
}

/// The parts of a model: pieces, trainer, normalizer, a test of its own, a normalizer of decoding.
void parse_part(const WireField& field, std::string_view name, SentencePieceModel& model) {
  SentencePieceModel of_decoding;
  switch (field.id) {
    case 1:
      model.pieces.push_back(parse_piece(field.bytes, name, model.pieces.size()));
      break;
    case 2:
      parse_trainer(field.bytes, name, model);
      break;
    case 3:
      parse_normalizer(field.bytes, name, model);
      break;
    case 5:
      parse_normalizer(field.bytes, name, of_decoding);
      break;
    default:
      WireReader self_test(field.bytes, name);
      while (self_test.next()) {
      }
  }
}

void append_bytes(char tag, std::string_view bytes, std::string& message) {
  message += tag;
  for (size_t left = bytes.size();; left >>= 7) {
    message += static_cast<char>(left < 0x80 ? left : (left & 0x7F) | 0x80);
    if (left < 0x80) break;
  }
  message += bytes;
}

void append_piece(const Piece& piece, float score, std::string& message) {
  std::string fields;
  append_bytes(0x0A, piece.text, fields);
  fields += '\x15';
  fields.append(reinterpret_cast<const char*>(&score), sizeof score);
  fields += {'\x18', static_cast<char>(piece.kind)};
  append_bytes(0x0A, fields, message);
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view name) {
  // A model may start with white space: '\n' is the tag of its first piece.
  const std::string_view kind = bytes.starts_with('\n') ? "" : foreign_kind(bytes);
  if (!kind.empty())
    throw DataError(cat(name, " is not a SentencePiece model, but ", kind,
                        "; download the model's tokenizer again"));
  WireReader reader(bytes, name);
  if (bytes.empty()) reader.reject("is empty");
  if (bytes.size() > kMaxBytes) reader.reject(cat("has more than ", kMaxBytes, " bytes"));
  SentencePieceModel model;
  while (const auto field = reader.next()) {
    if (field->id < 1 || field->id > 5) continue;  // extensions
    reader.expect(*field, kBytes, "part");
    if (field->id == 1 && model.pieces.size() == kMaxPieces)
      reader.reject(cat("has more than ", kMaxPieces, " pieces"));
    parse_part(*field, name, model);
  }
  const auto unknown = std::count_if(model.pieces.begin(), model.pieces.end(),
                                     [](const Piece& p) { return p.kind == Kind::kUnknown; });
  if (unknown != 1)
    reader.reject(cat("has ", unknown, " unknown pieces among ", model.pieces.size(),
                      "; exactly one is needed"));
  return model;
}

bool has_independent_words(const SentencePieceModel& model) {
  return model.algorithm == Algorithm::kBpe && model.byte_fallback && !model.whitespace_as_suffix &&
         model.character_map.empty() && !model.remove_extra_whitespaces &&
         model.escape_whitespaces &&
         std::none_of(model.pieces.begin(), model.pieces.end(), crosses_words);
}

std::vector<MarkedPiece> marked_pieces(const SentencePieceModel& model) {
  std::vector<MarkedPiece> marked;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (piece.kind == Kind::kControl || piece.kind == Kind::kUserDefined)
      marked.push_back({static_cast<int32_t>(id), piece.text, piece.kind == Kind::kControl});
  }
  return marked;
}

std::string changed_model(std::string_view model, const SentencePieceChanges& changes) {
  std::string changed(changes.by_order ? "" : model);
  if (changes.by_order) {
    WireReader reader(model, "");
    float score = 0;  // as trainers of BPE write it
    while (const auto field = reader.next()) {
      if (field->id == 1)
        append_piece(parse_piece(field->bytes, "", 0), score--, changed);
      else if (field->id <= 5)
        append_bytes(static_cast<char>(field->id << 3 | kBytes), field->bytes, changed);
    }
    append_bytes(0x12, std::string{'\x18', '\x02'}, changed);  // model_type: BPE
  }
  // A later field of a protocol buffer wins over an earlier one.
  if (!changes.keeps_suffix) append_bytes(0x12, std::string{'\xC0', '\x01', '\0'}, changed);
  if (!changes.normalizes) append_bytes(0x1A, std::string{'\x12', '\0'}, changed);
  if (!changes.removes_spaces)  // and they are escaped
    append_bytes(0x1A, std::string{'\x20', '\0', '\x28', '\x01'}, changed);
  return changed;
}

std::vector<std::string> differences(const SentencePieceModel& model,
                                     const SentencePieceModel& changed) {
  const auto rises = [](const Piece& left, const Piece& right) {
    return left.kind == Kind::kNormal && right.kind == Kind::kNormal && left.score <= right.score;
  };
  const auto in_order = [&](const std::vector<Piece>& pieces) {
    return std::adjacent_find(pieces.begin(), pieces.end(), rises) == pieces.end();
  };
  std::vector<std::string> found;
  if (model.algorithm != changed.algorithm)
    found.emplace_back("takes its pieces for BPE's");
  else if (in_order(model.pieces) != in_order(changed.pieces))
    found.emplace_back("merges in the order of its pieces, not of their scores");
  if (model.character_map != changed.character_map)
    found.emplace_back("leaves out its normalization of characters");
  if (model.remove_extra_whitespaces != changed.remove_extra_whitespaces)
    found.emplace_back("keeps double spaces and those at the ends");
  if (model.whitespace_as_suffix != changed.whitespace_as_suffix)
    found.emplace_back("takes a space to the word behind it");
  return found;
}

std::string with_dummy_prefix(std::string_view model, bool add_dummy_prefix) {
  std::string changed(model);
  changed += std::string{'\x1a', '\x02', '\x18', static_cast<char>(add_dummy_prefix ? 1 : 0)};
  return changed;
}

}  // namespace fathom
