// Files that break the format, one rule each. The rules are those of the format's specification and
// of its reference implementation, and the stricter ones that the header of SafetensorsFile names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/io/safetensors.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

std::string little_endian(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string file_of(const std::string& header, size_t data_bytes) {
  return little_endian(header.size()) + header + std::string(data_bytes, '\x01');
}

/// A header with the tensor "x" of the given fields.
std::string x_with(const std::string& fields) { return cat(R"({"x":{)", fields, "}}"); }

std::string x_of(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return x_with(cat(R"("dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets));
}

std::string u8(const std::string& name, int begin, int end) {
  return cat('"', name, R"(":{"dtype":"U8","shape":[)", end - begin, R"(],"data_offsets":[)", begin,
             ",", end, "]}");
}

struct BadFile {
  std::string what;
  std::string content;
  std::string reason;
};

void expect_refused(const std::vector<BadFile>& files) {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  for (const BadFile& file : files) {
    write_file(path, file.content);
    const std::string message = message_of<CheckpointError>([&] { SafetensorsFile{path}; });
    EXPECT_THAT(message, testing::StartsWith(path.string() + ": ")) << file.what;
    EXPECT_THAT(message, testing::HasSubstr(file.reason)) << file.what;
  }
}

TEST(SafetensorsFile, RefusesABrokenFrame) {
  const std::string good = cat("{", u8("x", 0, 4), "}");
  expect_refused({
      {"empty file", "", "has 0 bytes"},
      {"seven bytes", std::string(7, '\0'), "has 7 bytes"},
      {"header length only", little_endian(2), "header of 2 bytes doesn't fit"},
      {"no header", little_endian(0), "doesn't start with '{'"},
      {"no header but data", little_endian(0) + "{}", "doesn't start with '{'"},
      {"length one beyond the file", little_endian(3) + "{}", "header of 3 bytes doesn't fit"},
      {"length that wraps when 8 is added", little_endian(UINT64_MAX - 7) + "{}",
       "at most 100000000"},
      {"largest length", little_endian(UINT64_MAX) + "{}", "at most 100000000"},
      {"one more than 100 MB", little_endian(100'000'001) + "{}", "would have 100000001 bytes"},
      {"100 MB that aren't there", little_endian(100'000'000) + "{}",
       "header of 100000000 bytes doesn't fit"},
      {"length as big endian", std::string("\0\0\0\0\0\0\0\x02", 8) + "{}", "at most 100000000"},
      {"zip archive (torch.save)", "PK\x03\x04" + std::string(100, '\0'), "doesn't fit"},
      {"GGUF", "GGUF" + std::string(100, '\x03'), "it is no safetensors file"},
      {"leading space", file_of(" {}", 0), "doesn't start with '{'"},
      {"leading newline", file_of("\n{}", 0), "doesn't start with '{'"},
      {"byte order mark", file_of("\xEF\xBB\xBF{}", 0), "doesn't start with '{'"},
      {"a list", file_of("[]", 0), "doesn't start with '{'"},
      {"data without tensors", file_of("{}", 1), "the last 1 bytes belong to no tensor"},
      {"byte after the end", file_of(good, 5), "the last 1 bytes belong to no tensor"},
      {"last byte missing", file_of(good, 3), "ends at byte 4 of the data; the file has only 3"},
      {"header cut in the middle", little_endian(20) + good.substr(0, 20), "isn't valid JSON"},
  });
}

TEST(SafetensorsFile, RefusesWhatIsNotAHeadersJson) {
  const std::string x = u8("x", 0, 4);
  expect_refused({
      {"open object", file_of("{", 0), "isn't valid JSON"},
      {"text after the object", file_of("{} {}", 0), "isn't valid JSON"},
      {"NUL padding", file_of(std::string("{}\0\0", 4), 0), "isn't valid JSON"},
      {"trailing comma", file_of(cat("{", x, ",}"), 4), "isn't valid JSON"},
      {"comment", file_of(cat("{/**/", x, "}"), 4), "isn't valid JSON"},
      {"bad UTF-8 in a name", file_of("{\"\xC3(\":{}}", 0), "isn't valid JSON"},
      {"overlong UTF-8", file_of("{\"\xC0\xAF\":{}}", 0), "isn't valid JSON"},
      {"lone surrogate", file_of(R"({"\ud800":{}})", 0), "isn't valid JSON"},
      {"raw control character", file_of("{\"a\nb\":{}}", 0), "isn't valid JSON"},
      {"NaN", file_of(x_of("\"U8\"", "[NaN]", "[0,4]"), 4), "isn't valid JSON"},
      {"number out of range", file_of(x_of("\"U8\"", "[1e999]", "[0,4]"), 4), "isn't valid JSON"},
      {"deep nesting", file_of(cat(R"({"x":)", std::string(100'000, '[')), 0), "isn't an object"},
      {"tensor is a list", file_of(R"({"x":[]})", 0), "tensor 'x': isn't an object"},
      {"tensor is null", file_of(R"({"x":null})", 0), "tensor 'x': isn't an object"},
      {"tensor is a number", file_of(R"({"x":1})", 0), "tensor 'x': isn't an object"},
      {"tensor is a text", file_of(R"({"x":"F32"})", 0), "tensor 'x': isn't an object"},
      {"tensor is true", file_of(R"({"x":true})", 0), "tensor 'x': isn't an object"},
      {"tensor named twice", file_of(cat("{", x, ",", x, "}"), 4), "tensor 'x': appears twice"},
      {"named twice, both used", file_of(cat("{", x, ",", u8("x", 4, 8), "}"), 8),
       "tensor 'x': appears twice"},
      {"named twice by an escape", file_of(cat("{", x, ",", u8("\\u0078", 4, 8), "}"), 8),
       "tensor 'x': appears twice"},
      {"metadata is a list", file_of(R"({"__metadata__":[]})", 0), "__metadata__ isn't an object"},
      {"metadata holds a number", file_of(R"({"__metadata__":{"a":1}})", 0),
       "__metadata__: 'a' isn't a string"},
      {"metadata holds null", file_of(R"({"__metadata__":{"a":null}})", 0),
       "__metadata__: 'a' isn't a string"},
      {"metadata is nested", file_of(R"({"__metadata__":{"a":{}}})", 0),
       "__metadata__: 'a' isn't a string"},
      {"metadata key twice", file_of(R"({"__metadata__":{"a":"","a":""}})", 0),
       "__metadata__: 'a' appears twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0),
       "'__metadata__': appears twice"},
  });
}

TEST(SafetensorsFile, RefusesATensorWithWrongFields) {
  const std::string f32 = "\"F32\"";
  expect_refused({
      {"no fields", file_of(x_with(""), 0), "tensor 'x': has no dtype"},
      {"no shape", file_of(x_with(R"("dtype":"U8","data_offsets":[0,0])"), 0), "has no shape"},
      {"no offsets", file_of(x_with(R"("dtype":"U8","shape":[0])"), 0), "has no data_offsets"},
      {"field twice", file_of(x_with(R"("dtype":"U8","dtype":"U8")"), 0),
       "field 'dtype' appears twice"},
      {"unknown field", file_of(x_with(R"("strides":[1])"), 0), "unknown field 'strides'"},
      {"unknown dtype", file_of(x_of("\"F31\"", "[1]", "[0,4]"), 4), "unknown dtype 'F31'"},
      {"lower-case dtype", file_of(x_of("\"f32\"", "[1]", "[0,4]"), 4), "unknown dtype 'f32'"},
      {"dtype of four bits", file_of(x_of("\"F4\"", "[2]", "[0,1]"), 1), "unknown dtype 'F4'"},
      {"dtype is a number", file_of(x_of("32", "[1]", "[0,4]"), 4), "dtype isn't a string"},
      {"dtype is a list", file_of(x_of("[]", "[1]", "[0,4]"), 4), "dtype isn't a string"},
      {"shape is a number", file_of(x_of(f32, "1", "[0,4]"), 4), "shape isn't a list"},
      {"shape is null", file_of(x_of(f32, "null", "[0,4]"), 4), "shape isn't a list"},
      {"shape is nested", file_of(x_of(f32, "[[1]]", "[0,4]"), 4), "shape isn't a list"},
      {"negative dimension", file_of(x_of(f32, "[-1]", "[0,4]"), 4),
       "shape isn't a list of integers"},
      {"two negative dimensions", file_of(x_of(f32, "[-1,-1]", "[0,4]"), 4),
       "shape isn't a list of integers"},
      {"dimension 1.0", file_of(x_of(f32, "[1.0]", "[0,4]"), 4), "shape isn't a list of integers"},
      {"dimension as text", file_of(x_of(f32, "[\"1\"]", "[0,4]"), 4),
       "shape isn't a list of integers"},
      {"dimension 2^48", file_of(x_of(f32, "[281474976710656]", "[0,4]"), 4),
       "a dimension is 281474976710656"},
      {"dimension 2^64", file_of(x_of(f32, "[18446744073709551616]", "[0,4]"), 4),
       "shape isn't a list of integers"},
      {"nine dimensions", file_of(x_of(f32, "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4),
       "more than 8 dimensions"},
      {"2^32 x 2^32 elements", file_of(x_of(f32, "[4294967296,4294967296]", "[0,0]"), 0),
       "more elements than fit in 64 bits"},
      {"2^62 elements of 4 bytes", file_of(x_of(f32, "[1073741824,4294967296]", "[0,0]"), 0),
       "more elements than fit in 64 bits"},
      {"offsets are a number", file_of(x_of(f32, "[1]", "4"), 4),
       "data_offsets isn't a list of two"},
      {"one offset", file_of(x_of(f32, "[1]", "[4]"), 4), "data_offsets isn't a list of two"},
      {"three offsets", file_of(x_of(f32, "[1]", "[0,4,4]"), 4),
       "data_offsets isn't a list of two"},
      {"negative offset", file_of(x_of(f32, "[1]", "[-4,0]"), 4),
       "data_offsets isn't a list of two"},
      {"offset 0.0", file_of(x_of(f32, "[1]", "[0.0,4]"), 4), "data_offsets isn't a list of two"},
      {"offset 2^64", file_of(x_of(f32, "[1]", "[0,18446744073709551616]"), 4),
       "data_offsets isn't a list of two"},
      {"offsets as objects", file_of(x_of(f32, "[1]", "[{},{}]"), 4),
       "data_offsets isn't a list of two"},
  });
}

TEST(SafetensorsFile, RefusesRangesThatDontTileTheData) {
  const std::string f32 = "\"F32\"";
  const std::string largest = "18446744073709551615";
  const auto two = [](const std::string& a, const std::string& b) {
    return cat("{", a, ",", b, "}");
  };
  expect_refused({
      {"backwards", file_of(x_of(f32, "[1]", "[4,0]"), 4),
       "data_offsets run backwards, from 4 to 0"},
      {"beyond the data", file_of(x_of(f32, "[2]", "[0,8]"), 4), "ends at byte 8 of the data"},
      {"largest offset", file_of(x_of(f32, "[1]", "[0," + largest + "]"), 4),
       "ends at byte " + largest},
      {"both largest", file_of(x_of(f32, "[0]", "[" + largest + "," + largest + "]"), 4),
       "ends at byte " + largest},
      {"too short for its shape", file_of(x_of(f32, "[2]", "[0,4]"), 4),
       "has 4 bytes; its dtype and shape need 8"},
      {"too long for its shape", file_of(x_of(f32, "[1]", "[0,8]"), 8),
       "has 8 bytes; its dtype and shape need 4"},
      {"a scalar of 8 bytes", file_of(x_of(f32, "[]", "[0,8]"), 8), "its dtype and shape need 4"},
      {"bytes for a dimension of 0", file_of(x_of(f32, "[0,9]", "[0,4]"), 4),
       "its dtype and shape need 0"},
      {"hole at the start", file_of(x_of(f32, "[1]", "[4,8]"), 8),
       "the 4 bytes before it belong to no tensor"},
      {"hole in the middle", file_of(two(u8("a", 0, 4), u8("b", 5, 8)), 8),
       "tensor 'b': the 1 bytes before it"},
      {"hole at the end", file_of(two(u8("a", 0, 4), u8("b", 4, 8)), 9),
       "the last 1 bytes belong to no tensor"},
      {"overlap by one byte", file_of(two(u8("a", 0, 5), u8("b", 4, 8)), 8),
       "tensor 'b': overlaps 'a'"},
      {"the same bytes", file_of(two(u8("a", 0, 4), u8("b", 0, 4)), 4), "overlaps 'a'"},
      {"inside another", file_of(two(u8("a", 0, 8), u8("b", 2, 4)), 8), "tensor 'b': overlaps 'a'"},
      {"empty, inside another", file_of(two(u8("a", 0, 8), u8("b", 4, 4)), 8),
       "tensor 'b': overlaps 'a'"},
      {"empty, beyond the end", file_of(two(u8("a", 0, 8), u8("b", 9, 9)), 8),
       "tensor 'b': ends at byte 9"},
  });
}

TEST(SafetensorsFile, RefusesMoreThan100000Tensors) {
  std::string header = "{";
  for (int i = 0; i < 100'001; ++i) header += cat(i ? "," : "", u8(cat(i), 0, 0));
  expect_refused({{"100001 tensors", file_of(header + "}", 0), "has more than 100000 tensors"}});
}

TEST(SafetensorsFile, KeepsControlCharactersOfANameOutOfTheMessage) {
  expect_refused(
      {{"escape sequence", file_of("{\"\\u001b[2J\":1}", 0), R"(tensor '\x1b[2J')"},
       {"endless name", file_of(cat("{\"", std::string(10'000, 'n'), "\":1}"), 0), "nn...'"}});
}

}  // namespace
}  // namespace fathom
