#include "tokenizer/sentencepiece_model.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/test_seed.h"
#include "data/test_data.h"

namespace fathom {
namespace {

using testing::data_error;
using ::testing::HasSubstr;
using testing::small_tokenizer;

// A writer of the wire format, written from the protocol buffers documentation.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string bytes_field(uint32_t id, const std::string& bytes) {
  return varint(id << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string number_field(uint32_t id, uint64_t value) { return varint(id << 3) + varint(value); }
std::string float_field(uint32_t id, float value) {
  std::string raw(4, '\0');
  std::memcpy(raw.data(), &value, 4);
  return varint(id << 3 | 5) + raw;
}
std::string piece(const std::string& text, uint64_t type = 1, float score = 0) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + number_field(3, type));
}

const std::string kUnknown = piece("<unk>", 2);

/// A double array whose units all stay in place, with one rule: "a" becomes "b".
std::string character_map() {
  std::vector<uint32_t> units(512, 0);
  units[0] = 256U << 10;                                // root: to the block at 256
  units[256 ^ 'a'] = 'a' | 1U << 8 | ('a' ^ 1U) << 10;  // leaf at 256 ^ 'a' ^ 'a' ^ 1 = 257
  units[257] = 1U << 31;                                // value 0
  std::string map(4 + units.size() * 4, '\0');
  const uint32_t size = static_cast<uint32_t>(units.size() * 4);
  std::memcpy(map.data(), &size, 4);
  std::memcpy(map.data() + 4, units.data(), units.size() * 4);
  return map + std::string("b\0", 2);
}
void set_unit(std::string& map, size_t index, uint32_t unit) {
  std::memcpy(map.data() + 4 + 4 * index, &unit, 4);
}
std::string with_map(const std::string& map) {
  return kUnknown + piece("a") + piece("b") + bytes_field(3, bytes_field(2, map));
}

std::string refusal(const std::string& model) {
  return data_error([&] { parse_sentencepiece_model(model, "m.model"); });
}

TEST(SentencePieceModel, AcceptsAModelAndTellsItsSettings) {
  const SentencePieceModel model = parse_sentencepiece_model(
      kUnknown + piece("a") + bytes_field(3, number_field(3, 0) + number_field(4, 0)), "m");
  EXPECT_EQ(model.pieces.size(), 2U);
  EXPECT_FALSE(model.add_dummy_prefix);
  EXPECT_TRUE(parse_sentencepiece_model(kUnknown, "m").add_dummy_prefix);
  EXPECT_TRUE(has_independent_words(parse_sentencepiece_model(small_tokenizer().bytes(), "m")));
  const SentencePieceModel changed =
      parse_sentencepiece_model(with_dummy_prefix(kUnknown, false), "m");
  EXPECT_FALSE(changed.add_dummy_prefix);
}

TEST(SentencePieceModel, WordsDependOnEachOtherWhereAPieceOrARuleReachesOverTheirEnd) {
  const std::string bpe = kUnknown + bytes_field(2, number_field(3, 2) + number_field(35, 1)) +
                          bytes_field(3, number_field(4, 0));
  const auto independent = [&](const std::string& more) {
    return has_independent_words(parse_sentencepiece_model(bpe + more, "m"));
  };
  EXPECT_TRUE(independent(piece("\xE2\x96\x81\xE2\x96\x81word") + piece("\n\n")));
  EXPECT_FALSE(independent(piece("a\xE2\x96\x81")));
  EXPECT_FALSE(
      independent(piece("\xE2\x96\x81"
                        "a\xE2\x96\x81")));
  EXPECT_FALSE(independent(piece("a\n")));
  EXPECT_FALSE(independent(piece("word", 4)));                     // user-defined
  EXPECT_FALSE(independent(bytes_field(2, number_field(3, 1))));   // unigram
  EXPECT_FALSE(independent(bytes_field(2, number_field(35, 0))));  // no bytes
  EXPECT_FALSE(independent(bytes_field(2, number_field(24, 1))));  // suffix
  EXPECT_FALSE(independent(bytes_field(3, number_field(4, 1))));   // drops spaces
  EXPECT_FALSE(independent(bytes_field(3, number_field(5, 0))));   // plain spaces
  EXPECT_FALSE(independent(bytes_field(3, bytes_field(2, character_map()))));
}

TEST(SentencePieceModel, NamesTheFileAndWhatIsWrong) {
  EXPECT_EQ(refusal(""), "m.model is not a SentencePiece model: it is empty");
  EXPECT_NE(refusal("{\"model\": 1}").find("m.model is not a SentencePiece model"),
            std::string::npos);
}

TEST(SentencePieceModel, NamesWhatElseAFileIs) {
  EXPECT_THAT(refusal("<!DOCTYPE html><html>404</html>"),
              HasSubstr("m.model is not a SentencePiece model, but HTML"));
  EXPECT_THAT(refusal(" {\"model\": 1}"), HasSubstr("but JSON"));
  EXPECT_THAT(refusal("GGUF\x03"), HasSubstr("but GGUF"));
  EXPECT_THAT(refusal("PK\x03\x04"), HasSubstr("but a zip archive"));
  EXPECT_THAT(refusal("PK\x03\x04"), HasSubstr("download the model's tokenizer again"));
}

// transformers' generate_merges ranks merges by the id of the joint piece alone.
TEST(SentencePieceModel, ChangedMergesByIdAndLeavesOutWhatTransformersDoesntObey) {
  const std::string normalizer =
      bytes_field(2, character_map()) + number_field(3, 1) + number_field(4, 1);
  const std::string model = kUnknown + piece("a", 1, -5) + piece("b", 1, -1) + piece("ab", 1, -9) +
                            bytes_field(2, number_field(3, 1) + number_field(24, 1)) +
                            bytes_field(3, normalizer);
  const SentencePieceModel before = parse_sentencepiece_model(model, "m");
  const SentencePieceModel same = parse_sentencepiece_model(changed_model(model, {}), "m");
  EXPECT_TRUE(differences(before, same).empty());
  const SentencePieceModel after = parse_sentencepiece_model(
      changed_model(
          model,
          {.normalizes = false, .removes_spaces = false, .keeps_suffix = false, .by_order = true}),
      "m");
  EXPECT_EQ(after.algorithm, SentencePieceModel::Algorithm::kBpe);
  EXPECT_EQ(after.character_map, "");
  EXPECT_FALSE(after.remove_extra_whitespaces);
  EXPECT_FALSE(after.whitespace_as_suffix);
  EXPECT_TRUE(after.add_dummy_prefix);
  ASSERT_EQ(after.pieces.size(), before.pieces.size());
  for (size_t id = 0; id < after.pieces.size(); ++id) {
    EXPECT_EQ(after.pieces[id].text, before.pieces[id].text);
    EXPECT_EQ(after.pieces[id].kind, before.pieces[id].kind);
    EXPECT_EQ(after.pieces[id].score, -static_cast<float>(id));
  }
  EXPECT_EQ(differences(before, after).size(), 4U);
}

TEST(SentencePieceModel, RefusesPiecesOutOfBounds) {
  EXPECT_NO_THROW(parse_sentencepiece_model(kUnknown + piece(std::string(1024, 'x')), "m"));
  EXPECT_NE(refusal(kUnknown + piece(std::string(1025, 'x'))).find("1025 bytes"),
            std::string::npos);
  EXPECT_NE(refusal(kUnknown + piece("")).find("0 bytes"), std::string::npos);
  EXPECT_NE(refusal(kUnknown + piece("\xFF")).find("isn't text"), std::string::npos);
  EXPECT_NE(refusal(kUnknown + piece(std::string("a\0b", 3))).find("isn't text"),
            std::string::npos);
  EXPECT_NE(refusal(kUnknown + piece("a", 7)).find("type 7"), std::string::npos);
  EXPECT_NE(refusal(kUnknown + bytes_field(2, number_field(3, 5))).find("kind 5"),
            std::string::npos);
  for (const float score : {NAN, INFINITY, -INFINITY})
    EXPECT_NE(refusal(kUnknown + piece("a", 1, score)).find("finite"), std::string::npos);
}

TEST(SentencePieceModel, WantsExactlyOneUnknownPiece) {
  EXPECT_NE(refusal(piece("a")).find("0 unknown pieces"), std::string::npos);
  EXPECT_NE(refusal(kUnknown + kUnknown).find("2 unknown pieces"), std::string::npos);
}

TEST(SentencePieceModel, RefusesWhatIsLeftOverAndEachTruncation) {
  const std::string model = kUnknown + piece("a") + with_map(character_map());
  EXPECT_FALSE(refusal(kUnknown + "x").empty());
  EXPECT_FALSE(refusal(kUnknown + std::string("\0", 1)).empty());
  const std::string whole = kUnknown + piece("abc", 1, -1.5F);
  for (size_t size = kUnknown.size() + 1; size < whole.size(); ++size)
    EXPECT_FALSE(refusal(whole.substr(0, size)).empty()) << size;
}

TEST(SentencePieceModel, RefusesImpossibleFields) {
  EXPECT_FALSE(refusal(kUnknown + varint(0) + varint(1)).empty());    // field number 0
  EXPECT_FALSE(refusal(kUnknown + std::string(11, '\xFF')).empty());  // endless varint
  EXPECT_FALSE(refusal(kUnknown + varint(9 << 3 | 3)).empty());       // group
  EXPECT_FALSE(refusal(kUnknown + number_field(1, 5)).empty());       // piece as a number
  EXPECT_FALSE(refusal(kUnknown + varint(1 << 3 | 2) + varint(UINT64_MAX)).empty());  // 2^64 long
}

TEST(SentencePieceModel, AcceptsACharacterMapThatStaysInside) {
  EXPECT_NO_THROW(parse_sentencepiece_model(with_map(character_map()), "m"));
  // SentencePiece follows it: "a" is normalized to "b".
  const Tokenizer tokenizer =
      Tokenizer::from_bytes(kUnknown + piece("\xE2\x96\x81") + piece("a") + piece("b") +
                                bytes_field(3, bytes_field(2, character_map())),
                            "m");
  EXPECT_EQ(tokenizer.encode("aa"), (std::vector<int32_t>{1, 3, 3}));
}

TEST(SentencePieceModel, RefusesACharacterMapThatPointsOutside) {
  std::string root = character_map();
  set_unit(root, 0, 0x3FFU << 21);
  EXPECT_NE(refusal(with_map(root)).find("points outside"), std::string::npos);
  std::string marked_root = character_map();  // the search doesn't look whether the root is a value
  set_unit(marked_root, 0, 1U << 31);
  EXPECT_NE(refusal(with_map(marked_root)).find("points outside"), std::string::npos);
  std::string unit = character_map();
  set_unit(unit, 300, 512U << 10);
  EXPECT_NE(refusal(with_map(unit)).find("points outside"), std::string::npos);
  std::string value = character_map();
  set_unit(value, 257, 1U << 31 | 2);
  EXPECT_NE(refusal(with_map(value)).find("outside of its replacements"), std::string::npos);
}

TEST(SentencePieceModel, RefusesACharacterMapOfAWrongSize) {
  const std::string map = character_map();
  EXPECT_FALSE(refusal(with_map(map.substr(0, 3))).empty());
  EXPECT_FALSE(refusal(with_map(map.substr(0, 4 + 512 * 4))).empty());     // no replacements
  EXPECT_FALSE(refusal(with_map(map.substr(0, map.size() - 1))).empty());  // not ended by NUL
  std::string size = map;
  const uint32_t lie = UINT32_MAX;
  std::memcpy(size.data(), &lie, 4);
  EXPECT_FALSE(refusal(with_map(size)).empty());
}

// Whatever passes has to be safe to load and to use: single bytes of real models are changed.
TEST(SentencePieceModel, WhatPassesCanBeUsedWithoutACrash) {
  std::mt19937 random(test_seed());
  for (const std::string& model : {with_map(character_map()), small_tokenizer().bytes()}) {
    for (int i = 0; i < 300; ++i) {
      std::string changed = model;
      changed[random() % changed.size()] = static_cast<char>(random());
      try {
        const Tokenizer tokenizer = Tokenizer::from_bytes(changed, "m");
        tokenizer.decode(tokenizer.encode("ab\xC3\xA9 kern\n\xF0\x9F\x98\x80"));
      } catch (const DataError&) {
      }
    }
  }
}

}  // namespace
}  // namespace fathom
