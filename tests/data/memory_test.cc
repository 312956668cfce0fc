// Memory that doesn't grow with the input: 200 MB go through in far less.
#include <fstream>

#include "data/test_data.h"
#include "fathom/data/find_files.h"
#include "fathom/data/loader.h"
#include "fathom/data/prepare.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::gzip;
using testing::small_tokenizer;
using testing::TemporaryFolder;
using testing::words;

constexpr int kMegabytes = 200;
constexpr int64_t kBound = int64_t{100} << 20;

/// A field of /proc/self/status in bytes; 0 where there is none.
int64_t process_memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

/// The most memory that `action` takes at any time.
int64_t peak_of(const std::function<void()>& action) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak is now what there is
  const int64_t before = process_memory("VmRSS");
  action();
  return process_memory("VmHWM") - before;
}

class Memory : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "sanitizers take memory of their own";
#endif
    if (process_memory("VmHWM") == 0) GTEST_SKIP() << "/proc/self/status has no VmHWM";
    small_tokenizer();
  }

  /// kMegabytes of `text`, packed to a few hundred kB.
  std::string packed(const std::string& name, std::string text, const std::string& begin = "") {
    text.resize(size_t{1} << 20, 'e');
    std::string bytes = gzip(begin);
    const std::string member = gzip(text);
    for (int i = 0; i < kMegabytes; ++i) bytes += member;
    return folder_.write(name, bytes);
  }

  void prepare_file(const std::string& path) {
    prepare(find_files({path}), small_tokenizer(), {}, folder_ / "o.tokens", nullptr, StopFlag());
  }

  TemporaryFolder folder_;
};

TEST_F(Memory, OneLineOfTextOfAnyLength) {
  std::string line = words(30000);
  std::replace(line.begin(), line.end(), '\n', ' ');
  const std::string path = packed("a.txt.gz", line);
  EXPECT_LT(peak_of([&] { prepare_file(path); }), kBound);
  EXPECT_GT(TokenFile::open(folder_ / "o.tokens").info().num_tokens, 20'000'000U);
}

TEST_F(Memory, ManyDocuments) {
  std::string lines;
  while (lines.size() < (size_t{1} << 20) - 64)
    lines += "{\"text\": \"kern nake aren kern nake\"}\n";
  lines.resize(size_t{1} << 20, '\n');
  const std::string path = packed("a.jsonl.gz", lines);
  EXPECT_LT(peak_of([&] { prepare_file(path); }), kBound);
  EXPECT_GT(TokenFile::open(folder_ / "o.tokens").info().num_documents, 5'000'000U);
}

TEST_F(Memory, AJsonLineBeyondTheLimit) {
  std::string line(size_t{1} << 20, 'x');
  const std::string one_line = packed("b.json.gz", line, "{\"text\": \"");
  std::string error;
  EXPECT_LT(peak_of([&] { error = data_error([&] { prepare_file(one_line); }); }), kBound);
  EXPECT_NE(error.find("b.json.gz:1: the line is longer than data.max_document_bytes (16777216)"),
            std::string::npos);
}

/// A million documents of 40 tokens: 80 MB of tokens and 8 MB of index.
std::filesystem::path million_documents(const TemporaryFolder& folder) {
  const std::filesystem::path path = folder / "a.tokens";
  TokenFileWriter writer(path, 300, std::string(64, 'a'));
  const std::vector<int32_t> document(40, 5);
  for (int i = 0; i < 1'000'000; ++i) {
    writer.add_tokens(document);
    writer.end_document();
  }
  writer.publish({});
  return path;
}

TEST_F(Memory, AMillionDocumentsOpenWithoutReadingTheIndex) {
  const std::filesystem::path path = million_documents(folder_);
  const int64_t peak = peak_of([&] {
    const TokenFile file = TokenFile::open(path);
    EXPECT_EQ(file.document_start(1'000'000), 40'000'000U);
  });
  EXPECT_LT(peak, int64_t{4} << 20);
}

TEST_F(Memory, AMillionShuffledDocumentsTakeNoMoreThanTheirIndex) {
  const std::filesystem::path path = million_documents(folder_);
  for (const bool packed : {false, true}) {
    DataConfig config;
    config.mode = packed ? "packed" : "documents";
    config.document_attention = packed;
    config.sequence_length = 16;
    const int64_t peak = peak_of([&] {
      std::vector<TokenFile> files;
      files.push_back(TokenFile::open(path));
      const Loader loader(std::move(files), config, /*global_batch_size=*/512);
      for (int64_t step = 0; step < 64; ++step) EXPECT_EQ(loader.batch(step).tokens, 512 * 16);
    });
    EXPECT_LT(peak, int64_t{16} << 20) << config.mode;
  }
}

}  // namespace
}  // namespace fathom
