#include "fathom/data/token_file.h"

#include <cstring>

#include "data/test_data.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::read_bytes;
using testing::TemporaryFolder;

const std::string kChecksum(64, 'a');
const StopFlag kNoStop;

using Documents = std::vector<std::vector<int32_t>>;

TokenFileInfo write_tokens(const std::string& path, const Documents& documents,
                           int64_t vocab_size) {
  TokenFileWriter writer(path, vocab_size, kChecksum);
  for (const auto& document : documents) {
    writer.add_tokens(document);
    writer.end_document();
  }
  TokenFileInfo notes;
  notes.empty_documents = 1;
  notes.skipped_documents = 2;
  notes.replacements = 3;
  return writer.publish(notes);
}

Documents read_back(const TokenFile& file) {
  Documents documents;
  for (uint64_t i = 0; i < file.info().num_documents; ++i) {
    const uint64_t begin = file.document_start(i);
    std::vector<int64_t> ids(file.document_start(i + 1) - begin);
    file.read(begin, ids);
    documents.emplace_back(ids.begin(), ids.end());
  }
  return documents;
}

TEST(TokenFile, GivesDocumentsBackInBothWidths) {
  const TemporaryFolder folder;
  for (const auto& [vocab_size, width] : {std::pair{65536, 2U}, {65537, 4U}}) {
    const Documents documents = {{1, 2, 3}, {static_cast<int32_t>(vocab_size - 1)}, {0, 7}};
    write_tokens(folder / "a.tokens", documents, vocab_size);
    const TokenFile file = TokenFile::open(folder / "a.tokens");
    EXPECT_EQ(file.info().width, width);
    EXPECT_EQ(read_back(file), documents);
    EXPECT_EQ(file.info().num_tokens, 6U);
    EXPECT_EQ(file.info().max_id, vocab_size - 1);
    EXPECT_EQ(file.info().tokenizer_checksum, kChecksum);
    EXPECT_EQ(file.info().empty_documents, 1U);
    EXPECT_EQ(file.info().skipped_documents, 2U);
    EXPECT_EQ(file.info().replacements, 3U);
    EXPECT_NO_THROW(file.verify(kNoStop));
    const std::vector<uint64_t> expected = {0, 0, 0, 1, 2, 2};
    for (uint64_t token = 0; token < 6; ++token)
      EXPECT_EQ(file.document_of(token), expected[token]);
  }
}

TEST(TokenFile, RefusesIdsOutsideOfTheVocabulary) {
  const TemporaryFolder folder;
  for (const int32_t id : {10, -1}) {
    const std::string error = data_error([&] { write_tokens(folder / "a.tokens", {{id}}, 10); });
    EXPECT_NE(error.find(cat("token id ", id)), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(folder / "a.tokens"));
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing temporary stays";
  }
}

TEST(TokenFile, HoldsMoreDocumentsThanItsBuffers) {
  const TemporaryFolder folder;
  Documents documents;
  for (int32_t i = 0; i < 300000; ++i) documents.push_back({i % 1000, 1, 2});
  write_tokens(folder / "a.tokens", documents, 1000);
  const TokenFile file = TokenFile::open(folder / "a.tokens");
  EXPECT_EQ(read_back(file), documents);
  EXPECT_NO_THROW(file.verify(kNoStop));
}

TEST(TokenFile, EachTruncationAndEachExtraByteIsRefused) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.tokens", {{1, 2, 3}, {4, 5}}, 100);
  const std::string bytes = read_bytes(folder / "a.tokens");
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string path = folder.write("b.tokens", bytes.substr(0, size));
    EXPECT_NE(data_error([&] { TokenFile::open(path); }).find(path), std::string::npos) << size;
  }
  const std::string path = folder.write("b.tokens", bytes + "x");
  EXPECT_NE(data_error([&] { TokenFile::open(path); }).find("bytes and should have"),
            std::string::npos);
}

TEST(TokenFile, EachFlippedBitIsFoundByOpenOrVerify) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.tokens", {{1, 2, 3}, {4, 5}}, 100);
  const std::string bytes = read_bytes(folder / "a.tokens");
  for (size_t byte = 0; byte < bytes.size(); ++byte) {
    if (byte >= 176 && byte < 256) continue;  // zeros without meaning
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[byte] = static_cast<char>(changed[byte] ^ (1 << bit));
      const std::string path = folder.write("b.tokens", changed);
      EXPECT_THROW(TokenFile::open(path).verify(kNoStop), DataError) << byte << " " << bit;
    }
  }
}

/// Sets a number of the header and makes the header's checksum right again.
std::string forged(std::string bytes, size_t offset, uint64_t value, size_t size = 8) {
  std::memcpy(bytes.data() + offset, &value, size);
  const std::string hex = sha256(std::string_view(bytes).substr(0, 144));
  for (size_t i = 0; i < 32; ++i)
    bytes[144 + i] = static_cast<char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return bytes;
}

TEST(TokenFile, NumbersThatDontFitAreRefusedEvenWithARightChecksum) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.tokens", {{1, 2, 3}, {4, 5}}, 100);
  const std::string bytes = read_bytes(folder / "a.tokens");
  ASSERT_NO_THROW(TokenFile::open(folder.write("b.tokens", forged(bytes, 16, 5))));
  const auto refused = [&](size_t offset, uint64_t value, size_t size = 8) {
    const std::string path = folder.write("b.tokens", forged(bytes, offset, value, size));
    EXPECT_THROW(TokenFile::open(path), DataError) << offset << " " << value;
  };
  refused(8, 2, 4);   // version
  refused(12, 4, 4);  // width
  refused(12, 0, 4);
  for (const size_t offset : {16, 24, 32, 40})  // tokens, documents, index, size
    for (const uint64_t value :
         {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{1} << 31, uint64_t{1} << 32,
          uint64_t{1} << 61, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7})
      refused(offset, value);
  refused(72, 0, 4);  // vocabulary
  refused(72, 70000, 4);
  refused(76, 100, 4);  // largest id
}

TEST(TokenFile, ACorruptIndexOrIdIsFoundWhereItIsUsed) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.tokens", {{1, 2, 3}, {4, 5}, {6}}, 100);
  const std::string bytes = read_bytes(folder / "a.tokens");
  const size_t index = 256 + 16;  // six tokens of two bytes, filled up to 16
  for (const uint64_t value : {uint64_t{0}, uint64_t{7}, uint64_t{1} << 40}) {
    std::string changed = bytes;
    std::memcpy(changed.data() + index + 8, &value, 8);
    const TokenFile file = TokenFile::open(folder.write("b.tokens", changed));
    EXPECT_THROW(read_back(file), DataError) << value;
  }
  std::string changed = bytes;
  changed[256 + 2] = 99;
  const TokenFile file = TokenFile::open(folder.write("b.tokens", changed));
  EXPECT_NE(data_error([&] { read_back(file); }).find("token 1 is 99"), std::string::npos);
}

TEST(TokenFile, NoticesThatItsFileWasReplacedCutOrRemoved) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.tokens";
  const auto changed_after = [&](const std::function<void()>& action) {
    write_tokens(path, {{1, 2, 3}}, 100);
    const TokenFile file = TokenFile::open(path);
    EXPECT_NO_THROW(file.check_unchanged());
    action();
    EXPECT_THROW(file.check_unchanged(), DataError);
  };
  changed_after([&] { std::filesystem::resize_file(path, 300); });
  changed_after([&] { write_tokens(path, {{1, 2, 3}}, 100); });
  changed_after([&] { std::filesystem::remove(path); });
}

TEST(TokenFile, KnowsATokenFileByItsContent) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.bin", {{1}}, 100);
  EXPECT_TRUE(is_token_file(folder / "a.bin"));
  EXPECT_FALSE(is_token_file(folder.write("b.tokens", "FATHOM")));
  EXPECT_FALSE(is_token_file(folder / "none"));
}

}  // namespace
}  // namespace fathom
