#include "fathom/data/prepare.h"

#include <thread>

#include "data/test_data.h"
#include "fathom/base/hash.h"
#include "fathom/data/find_files.h"
#include "fathom/data/prepared.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::gzip;
using testing::read_bytes;
using testing::small_tokenizer;
using testing::TemporaryFolder;
using testing::words;

const StopFlag kNoStop;
const Log kQuiet(true);

TokenFileInfo prepare_files(const std::vector<std::string>& inputs, const std::string& output,
                            PrepareOptions options = {}) {
  return prepare(find_files(inputs), small_tokenizer(), options, output, nullptr, kNoStop);
}

using Documents = std::vector<std::vector<int32_t>>;

Documents documents_of(const std::string& path) {
  const TokenFile file = TokenFile::open(path);
  file.verify(kNoStop);
  Documents documents;
  for (uint64_t i = 0; i < file.info().num_documents; ++i) {
    std::vector<int64_t> ids(file.document_start(i + 1) - file.document_start(i));
    file.read(file.document_start(i), ids);
    documents.emplace_back(ids.begin(), ids.end());
  }
  return documents;
}

std::vector<int32_t> with_ends(const std::string& text, bool bos) {
  std::vector<int32_t> ids = small_tokenizer().encode(text);
  if (bos) ids.insert(ids.begin(), *small_tokenizer().bos_id());
  ids.push_back(*small_tokenizer().eos_id());
  return ids;
}

TEST(Prepare, EachDocumentIsItsIdsAndEos) {
  const TemporaryFolder folder;
  const std::string jsonl =
      folder.write("a.jsonl", "{\"text\": \"kern\"}\n{\"text\": \"\"}\n{\"text\": \"nake\"}\n");
  const std::string text = folder.write("b.txt", "some\ntext");
  const TokenFileInfo info = prepare_files({jsonl, text}, folder / "out.tokens");
  EXPECT_EQ(documents_of(folder / "out.tokens"),
            (Documents{with_ends("kern", false), with_ends("nake", false),
                       with_ends("some\ntext", false)}));
  EXPECT_EQ(info.num_documents, 3U);
  EXPECT_EQ(info.empty_documents, 1U);
  EXPECT_EQ(info.tokenizer_checksum, small_tokenizer().checksum());
  PrepareOptions options;
  options.add_bos = true;
  prepare_files({text}, folder / "bos.tokens", options);
  EXPECT_EQ(documents_of(folder / "bos.tokens"), Documents{with_ends("some\ntext", true)});
}

TEST(Prepare, ALongTextIsOneDocumentWithTheIdsOfTheWhole) {
  const TemporaryFolder folder;
  const std::string text = words(12000);
  prepare_files({folder.write("a.txt", text)}, folder / "out.tokens");
  EXPECT_EQ(documents_of(folder / "out.tokens"), Documents{with_ends(text, false)});
}

/// Several formats, many documents, one long text.
std::vector<std::string> mixed_inputs(const TemporaryFolder& folder) {
  std::string jsonl;
  for (uint32_t i = 0; i < 2000; ++i) {
    jsonl += "{\"text\": \"";
    for (const char c : words(i % 6, i))
      jsonl += c == '\n' ? std::string("\\n") : std::string(1, c);
    jsonl += "\"}\n";
  }
  return {folder.write("a.jsonl.gz", gzip(jsonl)), folder.write("b.txt", words(9000)),
          folder.write("c.jsonl", jsonl)};
}

TEST(Prepare, TheNumberOfThreadsHasNoInfluence) {
  const TemporaryFolder folder;
  const std::vector<std::string> inputs = mixed_inputs(folder);
  PrepareOptions options;
  std::string first;
  for (const int threads : {1, 2, 3, 8}) {
    options.num_threads = threads;
    prepare_files(inputs, folder / "out.tokens", options);
    const std::string bytes = read_bytes(folder / "out.tokens");
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads << " threads";
  }
}

TEST(Prepare, ATokenFileAmongTheTextsIsRefusedBeforeAnyIsRead) {
  const TemporaryFolder folder;
  const std::string text = folder.write("data/a.txt", "kern");
  const std::string tokens = folder / "data/b.tokens";
  prepare_files({text}, tokens);
  const auto error_of = [&](const std::vector<std::string>& inputs) {
    return data_error([&] { prepare_files(inputs, folder / "o.tokens"); });
  };
  for (const std::vector<std::string>& inputs :
       {std::vector{tokens}, std::vector{text, tokens}, std::vector{folder / "data"}})
    EXPECT_TRUE(error_of(inputs).starts_with(tokens + " is a token file, and text is needed"));
  EXPECT_FALSE(std::filesystem::exists(folder / "o.tokens"));
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  EXPECT_NE(error_of({folder.write("p.tokens", pointer)}).find("Git LFS pointer"),
            std::string::npos);
  EXPECT_NE(data_error([&] {
              open_records(find_files({tokens})[0], {}, [](std::string_view) { return TextCut{}; });
            }).find("is a token file"),
            std::string::npos);
}

TEST(Prepare, WhatATokenFileLeavesOutIsSaid) {
  const TemporaryFolder folder;
  PrepareOptions options;
  options.read.on_missing_text = "skip";
  options.read.on_invalid_utf8 = "skip";
  const std::string path =
      folder.write("a.jsonl", "{}\n{\"text\": null}\n{\"text\": \"\xFF\"}\n{\"text\": \"kern\"}\n");
  const TokenFileInfo info = prepare_files({path}, folder / "o.tokens", options);
  ::testing::internal::CaptureStderr();
  warn_of_gaps(info, "prepare", Log());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "warning: prepare: left out 2 documents without text\n"
            "warning: prepare: left out 1 documents with invalid UTF-8\n");
}

TEST(Prepare, TheFirstErrorOfTheTextIsTheOneReported) {
  const TemporaryFolder folder;
  std::string jsonl;
  for (int i = 1; i <= 5000; ++i) {
    const bool broken = i == 4000 || i == 4100 || i == 4999;
    jsonl += broken ? "broken\n" : "{\"text\": \"kern nake kern nake kern nake\"}\n";
  }
  // The reader itself meets the overlong line of b.jsonl long before a worker meets line 4000.
  const std::string a = folder.write("a.jsonl", jsonl);
  const std::string b = folder.write("b.jsonl", "{\"text\": \"" + std::string(200, 'x') + "\"}\n");
  PrepareOptions options;
  options.read.max_document_bytes = 100;
  for (int i = 0; i < 10; ++i) {
    options.num_threads = 1 + i % 4;
    const std::string error = data_error([&] {
      prepare_files({a, b}, folder / "o.tokens", options);
    });
    EXPECT_NE(error.find("a.jsonl:4000:"), std::string::npos) << error;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "o.tokens"));
}

TEST(Prepare, AnErrorOfTheReaderComesAfterThoseOfEarlierLines) {
  const TemporaryFolder folder;
  PrepareOptions options;
  options.read.max_document_bytes = 100;
  const std::string long_line = "{\"text\": \"" + std::string(200, 'x') + "\"}\n";
  const std::string path = folder.write("a.jsonl", "{\"text\": \"a\"}\nbroken\n" + long_line);
  EXPECT_NE(
      data_error([&] { prepare_files({path}, folder / "o.tokens", options); }).find("a.jsonl:2:"),
      std::string::npos);
}

TEST(Prepare, NoUsableDocumentIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::vector<std::string>& inputs,
                            const std::string& policy = "error") {
    PrepareOptions options;
    options.read.on_invalid_utf8 = policy;
    return data_error([&] { prepare_files(inputs, folder / "o.tokens", options); });
  };
  const std::string empty = folder.write("x/empty.txt", "");
  EXPECT_NE(error_of({empty}).find("empty.txt has no usable document (1 empty, 0 skipped"),
            std::string::npos);
  EXPECT_NE(error_of({folder / "x"}).find("no usable document in 1 files"), std::string::npos);
  EXPECT_NE(error_of({folder.write("bad.txt", "\xFF")}, "skip").find("0 empty, 1 skipped"),
            std::string::npos);
  EXPECT_NE(error_of({folder.write("e.jsonl", "\n\n")}).find("e.jsonl has no usable document"),
            std::string::npos);
  const std::string good = folder.write("x/good.txt", "kern");
  EXPECT_NE(error_of({good, empty}).find("empty.txt has no usable document"), std::string::npos)
      << "a file that is named has to hold something";
  EXPECT_EQ(prepare_files({folder / "x"}, folder / "o.tokens").empty_documents, 1U)
      << "one in a folder needn't";
}

TEST(Prepare, SkippedDocumentsAndReplacementsAreCounted) {
  const TemporaryFolder folder;
  const std::string path = folder.write(
      "a.jsonl", "{\"text\": \"good\"}\n{\"text\": \"\xFF\xFF\"}\n{\"text\": \"\\ud800\"}\n");
  PrepareOptions options;
  options.read.on_invalid_utf8 = "skip";
  EXPECT_EQ(prepare_files({path}, folder / "o.tokens", options).skipped_documents, 2U);
  options.read.on_invalid_utf8 = "replace";
  const TokenFileInfo info = prepare_files({path}, folder / "o.tokens", options);
  EXPECT_EQ(info.replacements, 3U);
  EXPECT_EQ(info.num_documents, 3U);
}

TEST(Prepare, AStopEndsItWithoutAFile) {
  const TemporaryFolder folder;
  const std::vector<std::string> inputs = mixed_inputs(folder);
  StopFlag stop;
  stop.request(15);
  EXPECT_THROW(
      prepare(find_files(inputs), small_tokenizer(), {}, folder / "o.tokens", nullptr, stop),
      Interrupted);
  EXPECT_FALSE(std::filesystem::exists(folder / "o.tokens"));
}

DataConfig config_in(const TemporaryFolder& folder) {
  DataConfig config;
  config.cache_dir = folder / "cache";
  return config;
}

std::filesystem::path prepared_path(const std::vector<std::string>& inputs,
                                    const DataConfig& config) {
  const auto files = prepared(inputs, config, small_tokenizer(), "prepare", kQuiet, kNoStop);
  EXPECT_EQ(files.size(), 1U);
  return files[0].path();
}

TEST(Prepared, MakesATokenFileOnceForEachTextAndOption) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "kern nake");
  DataConfig config = config_in(folder);
  const std::filesystem::path first = prepared_path({a}, config);
  const FileIdentity made = FileIdentity::of(first);
  EXPECT_EQ(prepared_path({a}, config), first);
  EXPECT_EQ(FileIdentity::of(first), made) << "it was written again";
  config.sequence_length = 512;  // has no influence on the tokens
  config.mode = "packed";
  config.shuffle_seed = 5;
  EXPECT_EQ(prepared_path({a}, config), first);
  config.add_bos = true;
  EXPECT_NE(prepared_path({a}, config), first);
  config = config_in(folder);
  config.on_invalid_utf8 = "replace";
  EXPECT_NE(prepared_path({a}, config), first);
  config = config_in(folder);
  folder.write("a.txt", "kern nakE");  // the same size
  EXPECT_NE(prepared_path({a}, config), first);
  folder.write("a.txt", "kern nake");
  EXPECT_EQ(prepared_path({a}, config), first) << "the content counts, not the time";
  std::filesystem::rename(a, folder / "moved.txt");
  EXPECT_EQ(prepared_path({folder / "moved.txt"}, config), first) << "nor the name";
}

TEST(Prepared, RemembersChecksumsOfSettledFiles) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "kern nake");
  const DataConfig config = config_in(folder);
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(a, old);
  const std::filesystem::path first = prepared_path({a}, config);
  // The same size, time and inode: believed without reading. (Nothing but this test does that.)
  std::ofstream(a, std::ios::in | std::ios::binary) << "nake kern";
  std::filesystem::last_write_time(a, old);
  EXPECT_EQ(prepared_path({a}, config), first);
  std::filesystem::last_write_time(a, old + std::chrono::seconds(1));
  EXPECT_NE(prepared_path({a}, config), first);
  folder.write("cache/checksums.json", "broken");
  EXPECT_NE(prepared_path({a}, config), first) << "a broken memory is forgotten";
}

TEST(Prepared, MakesABrokenCacheFileAgain) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "kern nake");
  const DataConfig config = config_in(folder);
  const std::filesystem::path path = prepared_path({a}, config);
  const std::string bytes = read_bytes(path);
  std::filesystem::resize_file(path, 300);
  EXPECT_EQ(prepared_path({a}, config), path);
  EXPECT_EQ(read_bytes(path), bytes);
}

TEST(Prepared, FindsAFlippedBitInEachByteOfATokenFile) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "kern nake");
  const DataConfig config = config_in(folder);
  const std::filesystem::path cached = prepared_path({a}, config);
  const std::string bytes = read_bytes(cached);
  for (size_t byte = 0; byte < bytes.size(); ++byte) {
    std::string damaged = bytes;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << byte % 8));
    const std::string own = folder.write("own.tokens", damaged);
    EXPECT_NE(data_error([&] { prepared_path({own}, config); }).find("own.tokens "),
              std::string::npos)
        << byte;
    std::filesystem::rename(own, cached);
    EXPECT_EQ(prepared_path({a}, config), cached);
    EXPECT_EQ(read_bytes(cached), bytes) << "the cache isn't made again after byte " << byte;
  }
}

TEST(Prepared, UsesTokenFilesOfThisTokenizerAsTheyAre) {
  const TemporaryFolder folder;
  prepare_files({folder.write("a.txt", "kern")}, folder / "a.tokens");
  const std::string text = folder.write("b.txt", "nake");
  const DataConfig config = config_in(folder);
  const auto files =
      prepared({folder / "a.tokens", text}, config, small_tokenizer(), "prepare", kQuiet, kNoStop);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1].path(), folder / "a.tokens");
  TokenFileWriter other(folder / "other.tokens", 300, std::string(64, 'b'));
  other.add_tokens(std::vector<int32_t>{1, 2});
  other.end_document();
  other.publish({});
  const std::string error = data_error([&] {
    prepared({folder / "other.tokens"}, config, small_tokenizer(), "prepare", kQuiet, kNoStop);
  });
  EXPECT_NE(error.find("other.tokens was made with another tokenizer (sha256 bbbbbbbbbbbb"),
            std::string::npos);
}

TEST(Prepared, SaysWhenNothingIsGiven) {
  const TemporaryFolder folder;
  EXPECT_NE(data_error([&] { prepared_path({}, config_in(folder)); }).find("no data files"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
