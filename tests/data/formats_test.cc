#include "fathom/data/formats.h"

#include "data/test_data.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::documents;
using testing::gzip;
using testing::TemporaryFolder;
using testing::words;
using testing::zstd;
using Texts = std::vector<std::string>;

ReadOptions policy(const std::string& on_invalid) {
  ReadOptions options;
  options.on_invalid_utf8 = on_invalid;
  return options;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Formats, TheTableNamesEachFormatAndExtensionOnce) {
  std::set<std::string_view> seen;
  for (const FormatInfo& row : list_formats()) {
    EXPECT_TRUE(seen.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.summary.empty());
    for (const std::string_view extension : row.extensions)
      EXPECT_TRUE(seen.insert(extension).second) << extension;
  }
  EXPECT_TRUE(seen.contains(".jsonl") && seen.contains(".gz") && seen.contains(".txt"));
}

TEST(TextFormat, AFileIsADocumentWithoutMarkAndCarriageReturns) {
  const TemporaryFolder folder;
  EXPECT_EQ(documents(folder.write("a.txt", "\xEF\xBB\xBFone\r\ntwo\rthree\n")),
            Texts{"one\ntwo\rthree\n"});
  EXPECT_EQ(documents(folder.write("b.md", std::string("nul\0 \xEF\xBB\xBF", 8))),
            Texts{std::string("nul\0 \xEF\xBB\xBF", 8)});
  EXPECT_EQ(documents(folder.write("c.py", "\r")), Texts{"\r"});
  EXPECT_EQ(documents(folder.write("empty.txt", "")), Texts{""});
}

TEST(TextFormat, LongTextComesInPartsThatJoinToTheWhole) {
  const TemporaryFolder folder;
  std::string text;
  // Two- to four-byte characters and \r\n over every alignment with the blocks that are read.
  for (size_t i = 0; text.size() < (size_t{400} << 10); ++i)
    text += words(1, static_cast<uint32_t>(i)) + "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80" +
            std::string(i % 5, 'x') + "\n";
  std::string on_disk;
  for (const char c : text) on_disk += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(documents(folder.write("a.txt", on_disk)), Texts{text});
}

TEST(TextFormat, NamesFileLineAndByteOfInvalidUtf8) {
  const TemporaryFolder folder;
  const std::string path = folder.write("bad.txt", "one\ntwo \xFFthree");
  EXPECT_TRUE(
      contains(data_error([&] { documents(path); }), path + ":2:5: invalid UTF-8 (byte 0xFF)"));
  std::string late = words(5000);  // beyond the first block
  const auto line = std::count(late.begin(), late.end(), '\n') + 1;
  const std::string late_path = folder.write("late.txt", late + "ab\xC3");
  EXPECT_TRUE(contains(data_error([&] { documents(late_path); }),
                       cat(late_path, ":", line, ":3: invalid UTF-8 (byte 0xC3)")));
  const std::string utf16 = folder.write("utf16.txt", std::string("\xFF\xFEh\0i\0", 6));
  EXPECT_TRUE(contains(data_error([&] { documents(utf16); }), "utf16.txt is UTF-16"));
}

TEST(TextFormat, ReplacesInvalidUtf8AndCountsOrLeavesTheDocumentOut) {
  const TemporaryFolder folder;
  uint64_t replacements = 0;
  const std::string path = folder.write("bad.txt", "a\xFF\xE2\x82z\xC3");
  EXPECT_EQ(documents(path, policy("replace"), &replacements),
            Texts{"a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD"});
  EXPECT_EQ(replacements, 3U);
  EXPECT_EQ(documents(path, policy("skip")), Texts{});
  const std::string late = folder.write("late.txt", words(5000) + "\xFF");
  EXPECT_EQ(documents(late, policy("skip")), Texts{}) << "the bad byte is not in the first part";
}

TEST(JsonlFormat, ReadsTheFieldOfEachLine) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("a.jsonl",
                   "\xEF\xBB\xBF{\"text\": \"one\\n\\u00e9\\ud83d\\ude00\\u0000\", \"n\": [1, "
                   "{\"text\": 2}]}\r\n"
                   "\n  \n"
                   "{\"id\": 1e5, \"text\": \"\"}\n"
                   "{\"text\": \"last\"}");
  EXPECT_EQ(documents(path),
            (Texts{std::string("one\n\xC3\xA9\xF0\x9F\x98\x80\0", 11), "", "last"}));
  ReadOptions options;
  options.text_field = "body";
  EXPECT_EQ(documents(folder.write("b.json", "{\"body\": \"b\"}\n"), options), Texts{"b"});
}

TEST(JsonlFormat, NamesFileAndLineOfWhatIsWrong) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& line) {
    const std::string path = folder.write("a.jsonl", "{\"text\": \"good\"}\n" + line + "\n");
    const std::string error = data_error([&] { documents(path); });
    EXPECT_TRUE(contains(error, path + ":2:")) << error;
    return error;
  };
  EXPECT_TRUE(contains(error_of("{\"text\": \"cut"), "not valid JSON"));
  EXPECT_TRUE(contains(error_of("{\"text\": \"a\"} x"), "not valid JSON"));
  EXPECT_TRUE(contains(error_of("[{\"text\": \"a\"}]"), "not an object"));
  EXPECT_TRUE(contains(error_of("\"text\""), "not an object"));
  EXPECT_TRUE(
      contains(error_of("{\"txt\": \"a\", \"id\": 3}"), "no field 'text' (it has: txt, id)"));
  EXPECT_TRUE(contains(error_of("{\"text\": 3}"), "isn't a text"));
  EXPECT_TRUE(contains(error_of("{\"text\": null}"), "isn't a text"));
  EXPECT_TRUE(contains(error_of("{\"text\": {\"text\": \"a\"}}"), "isn't a text"));
  EXPECT_TRUE(contains(error_of("{\"text\": \"a\", \"text\": \"b\"}"), "twice"));
  EXPECT_TRUE(contains(error_of("{\"a\": " + std::string(100000, '[')), "1000 levels"));
  EXPECT_TRUE(contains(error_of("{\"text\": \"\xFF\"}"), "invalid UTF-8"));
  EXPECT_TRUE(contains(error_of("{\"text\": \"\\ud83d\"}"), "surrogate"));
}

TEST(JsonlFormat, TakesTheNumbersThatPythonWrites) {
  const TemporaryFolder folder;
  const std::string digits(5000, '9');
  const std::string path = folder.write(
      "a.jsonl",
      "{\"score\": NaN, \"text\": \"NaN \\\" 01\", \"n\": [-Infinity, Infinity, 1e999, -" + digits +
          "]}\n");
  EXPECT_EQ(documents(path), Texts{"NaN \" 01"});
  for (const char* bad : {"nan", "+1", "01", "1.", "-NaN", ".5", "1e", "Infinite"}) {
    const std::string line = std::string("{\"n\": ") + bad + ", \"text\": \"a\"}";
    EXPECT_TRUE(
        contains(data_error([&] { documents(folder.write("b.jsonl", line)); }), "not valid JSON"))
        << bad;
  }
}

TEST(JsonlFormat, LeavesOutDocumentsWithoutTextWhereItMay) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.jsonl",
                                        "{\"text\": null}\n{\"id\": 1}\n{\"text\": 5}\n{\"text\": "
                                        "[\"a\"]}\nnull\n{\"text\": \"b\"}\n");
  EXPECT_TRUE(
      contains(data_error([&] { documents(path); }), path + ":1: the document has a field"));
  ReadOptions options;
  options.on_missing_text = "skip";
  EXPECT_EQ(documents(path, options), (Texts{"", "", "", "", "", "b"}));
  EXPECT_TRUE(contains(data_error([&] { documents(folder.write("b.jsonl", "{]"), options); }),
                       "not valid JSON"));
}

TEST(JsonlFormat, TakesAnArrayOfDocuments) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.json",
                                        "\xEF\xBB\xBF\n[\n {\"text\": \"a ] \\\" , {\", \"n\": "
                                        "[[1], {}]},\n\n  {\"text\": \"b\"} ]\n\n");
  EXPECT_EQ(documents(path), (Texts{"a ] \" , {", "b"}));
  EXPECT_EQ(documents(folder.write("b.json", "[]")), Texts{});
  const auto error_of = [&](const std::string& json) {
    const std::string bad = folder.write("c.json", json);
    return data_error([&] { documents(bad); });
  };
  EXPECT_TRUE(contains(error_of("[{\"text\": \"a\"},\n{\"text\": \"b\""),
                       "c.json:2: the array has no end"));
  EXPECT_TRUE(contains(error_of("[{\"text\": \"a\"}]]"), "something follows"));
  EXPECT_TRUE(contains(error_of("[{\"text\": \"a\"},]"), "an element is missing"));
  EXPECT_TRUE(contains(error_of("[{\"text\": \"a\"},\n\n{\"txt\": 1}]"),
                       "c.json:3: the document has no field"));
  EXPECT_TRUE(contains(error_of("[\"a\"]"), "not an object but a text"));
}

TEST(JsonlFormat, SaysHowOtherShapesBecomeLines) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& json) {
    const std::string bad = folder.write("c.json", json);
    return data_error([&] { documents(bad); });
  };
  EXPECT_TRUE(contains(error_of("{\"data\": [{\"text\": \"a\"}]}"), "jq -c '.[\"data\"][]'"));
  EXPECT_TRUE(contains(error_of("{\"text\": {\"0\": \"a\"}}"), "orient='records', lines=True"));
  for (const char* of_jq : {"{\n  \"text\": \"a\"\n}\n", "{\"text\": \"a\",\n\"id\": 1}",
                            "{\"text\": \"}\"}{\"text\": \"b\"}"})
    EXPECT_TRUE(contains(error_of(of_jq), "jq -c . FILE > FILE.jsonl")) << of_jq;
  for (const char* of_none : {"{'text': 'a'}", "{\"text\": \"a\",}", "{\"text\": \"cut, ", "a text",
                              "{\"text\": \"a\"} x"})
    EXPECT_TRUE(contains(error_of(of_none), "mend the line, or leave it out")) << of_none;
  EXPECT_TRUE(contains(error_of("{\"text\": \"a\"},\n{\"text\": \"b\"},\n"), "sed 's/,"));
}

TEST(JsonlFormat, LoneSurrogatesFollowThePolicy) {
  const TemporaryFolder folder;
  const std::string path = folder.write(
      "a.jsonl", "{\"text\": \"a\\uD83Dz\\\\ud83d \\ude00\\ud83d\\uDE00\"}\n{\"text\": \"ok\"}\n");
  uint64_t replacements = 0;
  EXPECT_EQ(documents(path, policy("replace"), &replacements),
            (Texts{"a\xEF\xBF\xBDz\\ud83d \xEF\xBF\xBD\xF0\x9F\x98\x80", "ok"}));
  EXPECT_EQ(replacements, 2U);
  EXPECT_EQ(documents(path, policy("skip")), Texts{"ok"});
}

TEST(JsonlFormat, ALineBeyondTheLimitNamesTheKey) {
  const TemporaryFolder folder;
  ReadOptions options;
  options.max_document_bytes = 30;
  const std::string fits = "{\"text\": \"" + std::string(18, 'x') + "\"}";
  ASSERT_EQ(fits.size(), 30U);
  EXPECT_EQ(documents(folder.write("a.jsonl", fits + "\n" + fits), options).size(), 2U);
  const std::string path = folder.write("b.jsonl", fits + "\n\n " + fits);
  const std::string error = data_error([&] { documents(path, options); });
  EXPECT_TRUE(contains(error, path + ":3: the line is longer than data.max_document_bytes (30)"));
}

TEST(Gzip, ReadsOneMemberOrSeveral) {
  const TemporaryFolder folder;
  const std::string text = words(20000);
  EXPECT_EQ(documents(folder.write("a.txt.gz", gzip(text))), Texts{text});
  EXPECT_EQ(documents(folder.write("b.txt.gz", gzip("one ") + gzip("") + gzip("two"))),
            Texts{"one two"});
  EXPECT_EQ(documents(folder.write("c.json.gz", gzip("{\"text\": \"c4\"}\n"))), Texts{"c4"});
  const std::string zeros(size_t{3} << 20, 'z');  // much output for little input
  EXPECT_EQ(documents(folder.write("d.txt.gz", gzip(zeros))), Texts{zeros});
}

TEST(Zstd, ReadsOneFrameOrSeveral) {
  const TemporaryFolder folder;
  const std::string text = words(20000);
  EXPECT_EQ(documents(folder.write("a.txt.zst", zstd(text))), Texts{text});
  EXPECT_EQ(documents(folder.write("b.txt.zst", zstd("one ") + zstd("") + zstd("two"))),
            Texts{"one two"});
  EXPECT_EQ(documents(folder.write("c.jsonl.zst", zstd("{\"text\": \"c\"}"))), Texts{"c"});
  const std::string zeros(size_t{3} << 20, 'z');
  EXPECT_EQ(documents(folder.write("d.txt.zst", zstd(zeros))), Texts{zeros});
}

/// Packed files of about 2 kB: random letters don't compress away.
std::string two_kilobytes() { return words(120, 5); }

TEST(Gzip, EveryTruncationIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  const std::string packed = gzip(two_kilobytes());
  for (size_t size = 1; size < packed.size(); ++size) {
    const std::string path = folder.write("a.txt.gz", packed.substr(0, size));
    EXPECT_TRUE(contains(data_error([&] { documents(path); }), path + " is truncated")) << size;
  }
}

TEST(Gzip, AFileOfNoBytesIsAnEmptyText) {  // Python: gzip.decompress(b"") == b""
  const TemporaryFolder folder;
  EXPECT_EQ(documents(folder.write("a.txt.gz", "")), Texts{""});
  EXPECT_EQ(documents(folder.write("a.jsonl.gz", "")), Texts{});
}

TEST(Zstd, EveryTruncationIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  const std::string packed = zstd(two_kilobytes());
  for (size_t size = 0; size < packed.size(); ++size) {
    const std::string path = folder.write("a.txt.zst", packed.substr(0, size));
    EXPECT_TRUE(contains(data_error([&] { documents(path); }), path + " is truncated")) << size;
  }
}

TEST(Gzip, GarbageInsteadOfDataOrAfterItIsAnError) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& bytes) {
    const std::string path = folder.write("a.txt.gz", bytes);
    return data_error([&] { documents(path); });
  };
  EXPECT_TRUE(contains(error_of("plain text"), "not valid gzip data"));
  EXPECT_TRUE(contains(error_of(gzip("text") + "garbage"), "after its gzip data"));
  EXPECT_TRUE(
      contains(error_of(gzip("text") + std::string(512, '\0') + "garbage"), "after its gzip data"));
}

TEST(Gzip, ZerosAfterAMemberMeanNothing) {  // gzip and Python's gzip pass over them
  const TemporaryFolder folder;
  for (const size_t zeros : {size_t{1}, size_t{512}, size_t{1} << 17}) {
    const std::string padding(zeros, '\0');
    EXPECT_EQ(documents(folder.write("a.txt.gz", gzip("one ") + padding + gzip("two") + padding)),
              Texts{"one two"});
  }
  EXPECT_TRUE(
      contains(data_error([&] { documents(folder.write("b.txt.gz", std::string(512, '\0'))); }),
               "gzip data"));
}

TEST(Formats, AdviceNamesFlagsWhereTheyAreWhatAUserSets) {
  const TemporaryFolder folder;
  ReadOptions options;
  options.names = SettingNames::flags;
  options.max_document_bytes = 30;
  const auto error_of = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    std::string error = data_error([&] { documents(path, options); });
    EXPECT_FALSE(contains(error, "data.")) << error;
    return error;
  };
  EXPECT_TRUE(contains(error_of("a.jsonl", "{\"txt\": \"a\"}"),
                       "; set --text-field, or --on-missing-text skip"));
  EXPECT_TRUE(contains(error_of("a.jsonl", "{\"text\": 1}"), "; --on-missing-text skip leaves"));
  EXPECT_TRUE(contains(error_of("a.jsonl", "{\"d\": [{\"text\": 1}]}"), "; or set --text-field"));
  const std::string long_line = "{\"text\": \"" + std::string(40, 'x') + "\"}";
  EXPECT_TRUE(contains(error_of("a.jsonl", long_line), "longer than --max-document-bytes (30)"));
  EXPECT_TRUE(
      contains(error_of("a.json", "[" + long_line + "]"), "than --max-document-bytes (30)"));
  for (const std::string bad : {"\xFF", "\\ud83d"})
    EXPECT_TRUE(contains(error_of("a.jsonl", "{\"text\": \"" + bad + "\"}"),
                         "set --on-invalid-utf8 to replace or skip"));
  EXPECT_TRUE(contains(error_of("a.txt", "\xFF"), "set --on-invalid-utf8 to replace or skip"));
}

TEST(Zstd, GarbageInsteadOfDataOrAfterItIsAnError) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {std::string("plain text"), zstd("text") + "garbage"}) {
    const std::string path = folder.write("a.txt.zst", bytes);
    EXPECT_TRUE(contains(data_error([&] { documents(path); }), path + " is not valid zstd data"));
  }
}

TEST(Zstd, AnyWindowThatTheToolWritesIsRead) {
  const TemporaryFolder folder;
  // Magic, a header that announces a window of 2^28 and 2^31 bytes (RFC 8878), an empty last block.
  for (const char window : {'\x90', '\xA8'}) {
    std::string frame("\x28\xB5\x2F\xFD\x00\x90\x01\x00\x00", 9);
    frame[5] = window;
    EXPECT_EQ(documents(folder.write("a.txt.zst", zstd("one") + frame)), Texts{"one"});
  }
  const std::string frame("\x28\xB5\x2F\xFD\x00\xB0\x01\x00\x00", 9);  // 2^32
  EXPECT_TRUE(contains(data_error([&] { documents(folder.write("b.txt.zst", frame)); }),
                       "window of more than 2^31 bytes; pack it again: zstd -dc"));
}

TEST(Zstd, FramesToBeSkippedAreSkipped) {
  const TemporaryFolder folder;
  const std::string skippable("\x50\x2A\x4D\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(documents(folder.write("a.txt.zst", skippable + zstd("one") + skippable)),
            Texts{"one"});
}

TEST(Gzip, EveryFlippedBitOfAMemberIsFound) {
  const TemporaryFolder folder;
  const std::string text = words(3);
  const std::string packed = gzip(text);
  for (size_t byte = 10; byte < packed.size(); ++byte) {  // the header has fields without meaning
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = packed;
      changed[byte] = static_cast<char>(changed[byte] ^ (1 << bit));
      const std::string path = folder.write("a.txt.gz", changed);
      try {
        EXPECT_EQ(documents(path), Texts{text});  // a bit that only fills up the last byte
      } catch (const DataError&) {
      }
    }
  }
}

}  // namespace
}  // namespace fathom
