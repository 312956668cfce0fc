#include "fathom/data/loader.h"

#include <map>
#include <thread>

#include "base/test_seed.h"
#include "data/test_data.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::TemporaryFolder;

using Documents = std::vector<std::vector<int32_t>>;

constexpr int32_t kEos = 2;

/// Documents of `sizes` tokens; every token has another id, but EOS.
Documents numbered(const std::vector<int>& sizes, int32_t first_id = 10) {
  Documents documents;
  for (const int size : sizes) {
    documents.emplace_back();
    for (int i = 0; i + 1 < size; ++i) documents.back().push_back(first_id++);
    documents.back().push_back(kEos);
  }
  return documents;
}

TokenFile token_file(const TemporaryFolder& folder, const std::string& name,
                     const Documents& documents) {
  TokenFileWriter writer(folder / name, 100000, std::string(64, 'a'));
  for (const auto& document : documents) {
    writer.add_tokens(document);
    writer.end_document();
  }
  writer.publish({});
  return TokenFile::open(folder / name);
}

std::vector<TokenFile> one_file(const TemporaryFolder& folder, const Documents& documents) {
  std::vector<TokenFile> files;
  files.push_back(token_file(folder, "a.tokens", documents));
  return files;
}

DataConfig config_of(const std::string& mode, int64_t length, bool document_attention = false) {
  DataConfig config;
  config.mode = mode;
  config.sequence_length = length;
  config.document_attention = document_attention;
  return config;
}

using Row = std::vector<int64_t>;

Batch row(const Rows& rows, uint64_t number) {
  Batch batch = rows.empty_batch(1);
  rows.fill(number, 0, batch);
  return batch;
}

constexpr int64_t kNone = kIgnoredTarget;

TEST(Rows, DocumentsAreCutOrPaddedAndTheLastTokenHasNoTarget) {
  const TemporaryFolder folder;
  const Rows rows(one_file(folder, numbered({3, 4, 6, 1})), config_of("documents", 4));
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(row(rows, 0).input, (Row{10, 11, kEos, 0}));
  EXPECT_EQ(row(rows, 0).target, (Row{11, kEos, kNone, kNone}));
  EXPECT_EQ(row(rows, 1).input, (Row{12, 13, 14, kEos}));
  EXPECT_EQ(row(rows, 1).target, (Row{13, 14, kEos, kNone}));
  EXPECT_EQ(row(rows, 2).input, (Row{15, 16, 17, 18}));
  EXPECT_EQ(row(rows, 2).target, (Row{16, 17, 18, kNone})) << "the token after the cut is not seen";
  EXPECT_EQ(row(rows, 3).target, (Row{kNone, kNone, kNone, kNone}));
  EXPECT_TRUE(row(rows, 0).document.empty());
}

TEST(Rows, PackedRowsPredictEachTokenOnce) {
  const TemporaryFolder folder;
  const Rows rows(one_file(folder, numbered({3, 4, 3})), config_of("packed", 4));
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(row(rows, 0).input, (Row{10, 11, kEos, 12}));
  EXPECT_EQ(row(rows, 0).target, (Row{11, kEos, 12, 13}));
  EXPECT_EQ(row(rows, 1).input, (Row{13, 14, kEos, 15}));
  EXPECT_EQ(row(rows, 1).target, (Row{14, kEos, 15, 16}));
  EXPECT_EQ(row(rows, 2).input, (Row{16, kEos, 0, 0}));
  EXPECT_EQ(row(rows, 2).target, (Row{kEos, kNone, kNone, kNone}));
}

TEST(Rows, DocumentAttentionNumbersDocumentsAndDropsTargetsThatStartOne) {
  const TemporaryFolder folder;
  const Rows rows(one_file(folder, numbered({3, 4, 3})), config_of("packed", 4, true));
  EXPECT_EQ(row(rows, 0).document, (std::vector<int32_t>{0, 0, 0, 1}));
  EXPECT_EQ(row(rows, 0).target, (Row{11, kEos, kNone, 13}));
  EXPECT_EQ(row(rows, 1).document, (std::vector<int32_t>{0, 0, 0, 1}));
  EXPECT_EQ(row(rows, 1).target, (Row{14, kEos, kNone, 16}));
  EXPECT_EQ(row(rows, 2).document, (std::vector<int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(row(rows, 2).target, (Row{kEos, kNone, kNone, kNone}));
}

/// The counts of a row, from the row itself (no document here has the id 0 of padding).
Rows::Count counted(const Batch& batch) {
  Rows::Count count;
  for (const int64_t id : batch.input) count.tokens += id != 0 ? 1 : 0;
  for (const int64_t id : batch.target) count.targets += id != kIgnoredTarget ? 1 : 0;
  return count;
}

TEST(Rows, CountsFromTheIndexAreThoseOfTheRows) {
  const TemporaryFolder folder;
  std::mt19937 random(test_seed());
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<int> sizes(1 + random() % 12);
    for (int& size : sizes) size = 1 + static_cast<int>(random() % 9);
    const Documents documents = numbered(sizes);
    for (const bool attention : {false, true}) {
      for (const std::string mode : {"documents", "packed"}) {
        int total = 0;
        for (const int size : sizes) total += size;
        if (total < 2) continue;
        const Rows rows(one_file(folder, documents), config_of(mode, 2 + trial % 5, attention));
        int64_t targets = 0;
        for (uint64_t i = 0; i < rows.size(); ++i) {
          const Rows::Count expected = counted(row(rows, i));
          EXPECT_EQ(rows.count(i).tokens, expected.tokens) << mode << " row " << i;
          EXPECT_EQ(rows.count(i).targets, expected.targets) << mode << " row " << i;
          targets += expected.targets;
        }
        const int not_first = attention ? static_cast<int>(sizes.size()) - 1 : 0;
        if (mode == "packed") {
          EXPECT_EQ(targets, total - 1 - not_first);
        }
      }
    }
  }
}

TEST(Rows, GoOnFromOneFileToTheNext) {
  const TemporaryFolder folder;
  std::vector<TokenFile> files;
  files.push_back(token_file(folder, "a.tokens", numbered({3, 2})));
  files.push_back(token_file(folder, "empty.tokens", {}));
  files.push_back(token_file(folder, "b.tokens", numbered({4}, 50)));
  const Rows packed(std::move(files), config_of("packed", 4, true));
  EXPECT_EQ(row(packed, 1).input, (Row{kEos, 50, 51, 52}));
  EXPECT_EQ(row(packed, 1).target, (Row{kNone, 51, 52, kEos}));
  EXPECT_EQ(row(packed, 1).document, (std::vector<int32_t>{0, 1, 1, 1}));
}

TEST(Rows, WithoutARowAreAnError) {
  const TemporaryFolder folder;
  EXPECT_THROW(Rows(one_file(folder, {}), config_of("documents", 4)), DataError);
  EXPECT_THROW(Rows(one_file(folder, {{kEos}}), config_of("packed", 4)), DataError);
}

/// Some hundred documents in two files, written at the first call.
std::vector<TokenFile> corpus(const TemporaryFolder& folder) {
  std::vector<TokenFile> files;
  if (std::filesystem::exists(folder / "b.tokens")) {
    files.push_back(TokenFile::open(folder / "a.tokens"));
    files.push_back(TokenFile::open(folder / "b.tokens"));
    return files;
  }
  std::mt19937 random(test_seed());
  std::vector<int> sizes(150);
  for (int& size : sizes) size = 2 + static_cast<int>(random() % 30);
  files.push_back(token_file(folder, "a.tokens", numbered(sizes)));
  files.push_back(token_file(folder, "b.tokens", numbered(sizes, 20000)));
  return files;
}

void append(std::vector<int64_t>& to, const std::vector<int64_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

TEST(Loader, AnyNumberOfRanksGetsTheSameGlobalBatches) {
  const TemporaryFolder folder;
  for (const std::string mode : {"documents", "packed"}) {
    const DataConfig config = config_of(mode, 8, true);
    const Loader whole(corpus(folder), config, 16);
    for (const int64_t world_size : {2, 4, 16}) {
      for (const int64_t step : {0, 1, 7, 1000}) {
        const Batch expected = whole.batch(step);
        std::vector<int64_t> input;
        std::vector<int64_t> target;
        for (int64_t rank = 0; rank < world_size; ++rank) {
          const Batch part = Loader(corpus(folder), config, 16, {rank, world_size}).batch(step);
          EXPECT_EQ(part.rows, 16 / world_size);
          EXPECT_EQ(part.tokens, expected.tokens);
          EXPECT_EQ(part.targets, expected.targets);
          append(input, part.input);
          append(target, part.target);
        }
        EXPECT_EQ(input, expected.input);
        EXPECT_EQ(target, expected.target);
      }
    }
  }
}

TEST(Loader, ABatchIsAFunctionOfTheStepAlone) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("packed", 8);
  const Loader loader(corpus(folder), config, 4);
  std::vector<Batch> batches;
  for (int64_t step = 0; step < 400; ++step) batches.push_back(loader.batch(step));
  for (const int64_t step : {399, 0, 123, 200}) {
    EXPECT_EQ(Loader(corpus(folder), config, 4).batch(step).input,
              batches[static_cast<size_t>(step)].input);
  }
}

TEST(Loader, EachEpochHasEachRowOnceInAnotherOrder) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("documents", 32);
  const Loader loader(corpus(folder), config, 7);  // 300 rows: batches straddle epochs
  ASSERT_EQ(loader.rows_per_epoch(), 300U);
  std::vector<int64_t> first_tokens;
  for (int64_t step = 0; step < 100; ++step) {
    const Batch batch = loader.batch(step);
    for (int64_t i = 0; i < batch.rows; ++i)
      first_tokens.push_back(batch.input[static_cast<size_t>(i * 32)]);
  }
  const std::vector<int64_t> one(first_tokens.begin(), first_tokens.begin() + 300);
  const std::vector<int64_t> two(first_tokens.begin() + 300, first_tokens.begin() + 600);
  EXPECT_EQ(std::set<int64_t>(one.begin(), one.end()).size(), 300U);
  EXPECT_EQ(std::set<int64_t>(one.begin(), one.end()), std::set<int64_t>(two.begin(), two.end()));
  EXPECT_NE(one, two);
  EXPECT_DOUBLE_EQ(loader.epochs(100), 700.0 / 300.0);
}

TEST(Loader, AnotherSeedGivesAnotherOrder) {
  const TemporaryFolder folder;
  DataConfig config = config_of("documents", 8);
  const Batch one = Loader(corpus(folder), config, 8).batch(0);
  config.shuffle_seed = 33;
  EXPECT_NE(Loader(corpus(folder), config, 8).batch(0).input, one.input);
}

TEST(Loader, NeedsABatchThatSplitsEvenlyOverTheRanks) {
  const TemporaryFolder folder;
  EXPECT_THROW(Loader(corpus(folder), config_of("documents", 8), 6, {0, 4}), ConfigError);
}

TEST(Loader, NoticesAFileThatChangesUnderTheRun) {
  const TemporaryFolder folder;
  const Loader loader(corpus(folder), config_of("packed", 8), 300);
  EXPECT_NO_THROW(loader.batch(0));
  std::filesystem::resize_file(folder / "b.tokens", 400);
  EXPECT_NE(data_error([&] { loader.batch(1); }).find("b.tokens was changed"), std::string::npos);
}

TEST(PrefetchingLoader, GivesTheSameBatchesForAnyDepthAndAnyResume) {
  const TemporaryFolder folder;
  const Loader loader(corpus(folder), config_of("packed", 8), 4);
  for (const int64_t depth : {1, 2, 8}) {
    int64_t step = 0;
    for (const int64_t run : {1, 5, 3, 11}) {  // each run resumes where the last one stopped
      PrefetchingLoader prefetching(loader, step, depth);
      for (int64_t i = 0; i < run; ++i)
        EXPECT_EQ(prefetching.next().input, loader.batch(step++).input);
    }
  }
}

TEST(PrefetchingLoader, StopsWhenItIsNotRead) {
  const TemporaryFolder folder;
  const Loader loader(corpus(folder), config_of("packed", 8), 4);
  for (int i = 0; i < 50; ++i) const PrefetchingLoader unused(loader, i, 1 + i % 3);
}

TEST(PrefetchingLoader, HandsOnAnErrorAfterTheBatchesBeforeIt) {
  const TemporaryFolder folder;
  const Loader loader(corpus(folder), config_of("packed", 8), 4);
  PrefetchingLoader prefetching(loader, 0, 2);
  prefetching.next();
  std::filesystem::resize_file(folder / "a.tokens", 4000);
  std::filesystem::resize_file(folder / "b.tokens", 4000);
  const std::string error = data_error([&] {
    while (true) prefetching.next();
  });
  EXPECT_NE(error.find("was changed"), std::string::npos);
  EXPECT_THROW(prefetching.next(), DataError) << "and again";
}

/// The scored (input, target) pairs of an evaluation, in order, over all ranks.
std::vector<std::pair<int64_t, int64_t>> scored(const TemporaryFolder& folder,
                                                const DataConfig& config, int64_t rows_per_batch,
                                                int64_t world_size) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  std::vector<EvaluationLoader> loaders;
  for (int64_t rank = 0; rank < world_size; ++rank)
    loaders.emplace_back(corpus(folder), config, rows_per_batch, Shard{rank, world_size});
  for (int64_t i = 0; i < loaders[0].num_batches(); ++i) {
    const size_t before = pairs.size();
    int64_t targets = 0;
    for (const EvaluationLoader& loader : loaders) {
      const Batch batch = loader.batch(i);
      targets = batch.targets;
      for (size_t k = 0; k < batch.target.size(); ++k)
        if (batch.target[k] != kIgnoredTarget) pairs.emplace_back(batch.input[k], batch.target[k]);
    }
    EXPECT_EQ(pairs.size() - before, static_cast<size_t>(targets));
  }
  EXPECT_EQ(pairs.size(), static_cast<size_t>(loaders[0].num_targets()));
  return pairs;
}

TEST(EvaluationLoader, ScoresExactlyTheFirstTargetsForAnyBatchAndRanks) {
  const TemporaryFolder folder;
  for (const std::string mode : {"documents", "packed"}) {
    for (const bool attention : {false, true}) {
      DataConfig config = config_of(mode, 8, attention);
      const auto all = scored(folder, config, 1000, 1);
      for (const int64_t budget : {1, 2, 50, 777}) {
        config.validation_tokens = budget;
        const std::vector<std::pair<int64_t, int64_t>> expected(all.begin(), all.begin() + budget);
        for (const int64_t rows_per_batch : {1, 3, 16})
          for (const int64_t world_size : {1, 2, 4})
            EXPECT_EQ(scored(folder, config, rows_per_batch, world_size), expected)
                << mode << " " << budget << " " << rows_per_batch << " " << world_size;
      }
    }
  }
}

TEST(EvaluationLoader, TakesAllThereIsWhenTheBudgetIsLarger) {
  const TemporaryFolder folder;
  const DataConfig config = config_of("packed", 8);
  uint64_t tokens = 0;
  for (const TokenFile& file : corpus(folder)) tokens += file.info().num_tokens;
  EXPECT_EQ(EvaluationLoader(corpus(folder), config, 4).num_targets(),
            static_cast<int64_t>(tokens) - 1);
}

}  // namespace
}  // namespace fathom
