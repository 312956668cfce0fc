#include "sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <functional>

#include "fathom/base/error.h"

namespace fathom {
namespace {

/// A field of a protocol buffer: a number, or bytes.
struct ProtoField {
  uint64_t number = 0;
  uint64_t value = 0;      // wire types 0 (varint), 1 and 5 (fixed)
  std::string_view bytes;  // wire type 2
};

/// Reads the fields of one message; each read is checked against its end.
class ProtoReader {
 public:
  ProtoReader(std::string_view message, std::string_view file) : rest_(message), file_(file) {}

  bool next(ProtoField& field) {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.value = varint();
        return true;
      case 1:
        field.value = fixed(8);
        return true;
      case 2:
        field.bytes = take(varint());
        return true;
      case 5:
        field.value = fixed(4);
        return true;
      default:
        refuse();
    }
  }

 private:
  [[noreturn]] void refuse() const {
    throw CheckpointError(cat(file_, ": isn't a SentencePiece model, or is damaged"));
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) refuse();
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    refuse();
  }

  uint64_t fixed(unsigned size) {
    uint64_t value = 0;
    const std::string_view bytes = take(size);
    for (unsigned i = 0; i < size; ++i)
      value |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return value;
  }

  std::string_view rest_;
  std::string_view file_;
};

using OnField = std::function<void(const ProtoField&)>;

void for_each_field(std::string_view message, std::string_view file, const OnField& use) {
  ProtoReader reader(message, file);
  for (ProtoField field; reader.next(field);) use(field);
}

// The numbers are those of sentencepiece_model.proto.
SentencePieceModel::Piece parse_piece(std::string_view message, std::string_view file) {
  SentencePieceModel::Piece piece;
  for_each_field(message, file, [&](const ProtoField& field) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3) piece.kind = static_cast<SentencePieceModel::Kind>(field.value);
  });
  if (piece.text.empty() || !std::isfinite(piece.score))
    throw CheckpointError(
        cat(file, ": has a piece without text or with a score that isn't finite"));
  return piece;
}

void parse_trainer(std::string_view message, std::string_view file, SentencePieceModel& model) {
  for_each_field(message, file, [&](const ProtoField& field) {
    if (field.number == 3)
      model.algorithm = static_cast<SentencePieceModel::Algorithm>(field.value);
    if (field.number == 24) model.whitespace_as_suffix = field.value != 0;
    if (field.number == 35) model.byte_fallback = field.value != 0;
  });
}

void parse_normalizer(std::string_view message, std::string_view file, SentencePieceModel& model) {
  for_each_field(message, file, [&](const ProtoField& field) {
    if (field.number == 2) model.character_map = field.bytes;
    if (field.number == 3) model.add_dummy_prefix = field.value != 0;
    if (field.number == 4) model.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) model.escape_whitespaces = field.value != 0;
  });
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view file) {
  SentencePieceModel model;
  for_each_field(bytes, file, [&](const ProtoField& field) {
    if (field.number == 1) model.pieces.push_back(parse_piece(field.bytes, file));
    if (field.number == 2) parse_trainer(field.bytes, file, model);
    if (field.number == 3) parse_normalizer(field.bytes, file, model);
  });
  if (model.pieces.empty()) throw CheckpointError(cat(file, ": has no pieces"));
  return model;
}

}  // namespace fathom
