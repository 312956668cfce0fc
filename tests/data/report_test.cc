#include "fathom/data/report.h"

#include <gmock/gmock.h>

#include "data/test_data.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

/// A token file with documents of these sizes.
std::vector<TokenFile> documents_of(const TemporaryFolder& folder, const std::vector<int>& sizes) {
  TokenFileWriter writer(folder / "a.tokens", 100, std::string(64, 'a'));
  for (const int size : sizes) {
    writer.add_tokens(std::vector<int32_t>(static_cast<size_t>(size), 7));
    writer.end_document();
  }
  writer.publish({});
  std::vector<TokenFile> files;
  files.push_back(TokenFile::open(folder / "a.tokens"));
  return files;
}

DataConfig config_of(const std::string& mode) {
  DataConfig config;
  config.mode = mode;
  config.sequence_length = 10;
  return config;
}

TEST(Report, CountsWhatDocumentsModeCutsOff) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("documents");
  const Loader loader(documents_of(folder, {4, 10, 11, 1000}), config, 2);
  const RowUse use = loader.rows().use();
  EXPECT_EQ(use.rows, 4);
  EXPECT_EQ(use.tokens, 1025);
  EXPECT_EQ(use.cut_documents, 2);
  EXPECT_EQ(use.cut_tokens, 1 + 990);
  EXPECT_EQ(use.targets, 3 + 9 + 9 + 9);
  const DataReport report = training_report(loader, config, 6);
  EXPECT_EQ(
      report.summary,
      "data.train: 1,025 tokens of 4 documents in 4 rows of 10 (documents); 6 steps of 2 rows "
      "go through it 3.00 times (epochs)");
  EXPECT_THAT(report.warnings,
              ElementsAre("data.train: data.mode=documents cuts 2 of 4 documents after 10 tokens: "
                          "991 of 1,025 tokens (96.7 %) are left out; data.mode=packed takes all"));
}

TEST(Report, PackedRowsTakeEveryToken) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("packed");
  const Loader loader(documents_of(folder, {4, 10, 11, 1000}), config, 8);
  EXPECT_EQ(loader.rows().use().targets, 1024);
  EXPECT_EQ(loader.rows().use().cut_tokens, 0);
  const DataReport report = training_report(loader, config, 13);
  EXPECT_THAT(report.summary,
              HasSubstr("1,025 tokens of 4 documents in 103 rows of 10 (packed); 13 "
                        "steps of 8 rows go through it 1.01 times"));
  EXPECT_THAT(report.warnings, IsEmpty());
}

TEST(Report, WarnsOfAStepThatIsMoreThanTheData) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("packed");
  const DataReport report =
      training_report(Loader(documents_of(folder, {21}), config, 512), config, 100);
  EXPECT_THAT(report.warnings,
              ElementsAre("data.train: a step takes 512 rows and the data has 2: each step sees it "
                          "256 times; lower train.global_batch_size"));
}

TEST(Report, CountsTheTokensThatAnEvaluationLeavesOut) {
  const TemporaryFolder folder;
  DataConfig config = config_of("packed");
  config.validation_tokens = 100;
  const Rows rows(documents_of(folder, {4, 10, 11, 1000}), config);
  EXPECT_THAT(evaluation_report(rows, config, "data.validation").warnings,
              ElementsAre("data.validation: only the first 100 of 1,024 tokens (9.8 %) are scored: "
                          "data.validation_tokens"));
  config.validation_tokens = 1024;
  EXPECT_THAT(evaluation_report(rows, config, "data.validation").warnings, IsEmpty());
}

/// The counts from the index are those of the rows themselves.
TEST(Report, CountsTargetsAsTheRowsHaveThem) {
  const TemporaryFolder folder;
  for (const bool attention : {false, true}) {
    for (const std::string mode : {"documents", "packed"}) {
      DataConfig config = config_of(mode);
      config.document_attention = attention && mode == "packed";
      const Rows rows(documents_of(folder, {1, 4, 10, 11, 1000, 1}), config);
      int64_t targets = 0;
      for (uint64_t row = 0; row < rows.size(); ++row) targets += rows.count(row).targets;
      EXPECT_EQ(rows.use().targets, targets) << mode << attention;
    }
  }
}

}  // namespace
}  // namespace fathom
