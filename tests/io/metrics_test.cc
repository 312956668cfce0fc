#include "fathom/io/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <limits>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Log kLog;

std::string record_of(int64_t step) {
  return R"({"event":"train","step":)" + std::to_string(step) +
         R"(,"tokens":1,"time":1.5})"
         "\n";
}

std::vector<int64_t> steps_of(const std::filesystem::path& path) {
  std::vector<int64_t> steps;
  for (const Json& record : read_metrics(path)) steps.push_back(record["step"].get<int64_t>());
  return steps;
}

/// No file of this process may grow beyond `bytes`, while the object lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(MetricsWriter, WritesOneObjectALine) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  MetricsWriter writer(path, std::nullopt, kLog);
  writer.write("train", 10, 5120, {{"train/loss", 2.5}, {"perf/steps", 7}, {"note", "a \"b\""}});
  writer.write("eval", 10, 5120, {{"val/loss", 0.1}});
  const std::string text = read_file(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  const Json first = Json::parse(text.substr(0, text.find('\n')));
  EXPECT_EQ(first["event"], "train");
  EXPECT_EQ(first["step"], 10);
  EXPECT_EQ(first["tokens"], 5120);
  EXPECT_GT(first["time"].get<double>(), 1.7e9);  // after 2023
  EXPECT_EQ(first["train/loss"], 2.5);
  EXPECT_EQ(first["perf/steps"], 7);
  EXPECT_EQ(first["note"], "a \"b\"");
  EXPECT_FALSE(first.contains("nonfinite"));
  EXPECT_THAT(text, HasSubstr("\"val/loss\":0.1}\n"));  // the shortest text that reads back
}

TEST(MetricsWriter, WritesNonFiniteValuesAsNullAndNamesThem) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  MetricsWriter writer(path, std::nullopt, kLog);
  const double infinity = std::numeric_limits<double>::infinity();
  writer.write("train", 1, 1, {{"loss", std::nan("")}, {"norm", -infinity}, {"lr", 1e-3}});
  const Json record = read_metrics(path).at(0);
  EXPECT_TRUE(record["loss"].is_null());
  EXPECT_TRUE(record["norm"].is_null());
  EXPECT_EQ(record["nonfinite"], (Json{"loss", "norm"}));
  EXPECT_EQ(record["lr"], 1e-3);
}

TEST(MetricsWriter, WritesArraysAndNamesThoseThatHoldNonFiniteNumbers) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  MetricsWriter writer(path, std::nullopt, kLog);
  writer.write("probe", 1, 1,
               {{"a", MetricArray{{{1.5, 2.0}, {3.0}}}}, {"b", MetricArray{{1.0, std::nan("")}}}});
  const Json record = read_metrics(path).at(0);
  EXPECT_EQ(record["a"], (Json{{1.5, 2.0}, {3.0}}));
  EXPECT_EQ(record["b"], (Json{1.0, nullptr}));
  EXPECT_EQ(record["nonfinite"], Json::array({"b"}));
}

TEST(MetricsWriter, RefusesANameThatTheRecordHasAlready) {
  const TemporaryDirectory directory;
  MetricsWriter writer(directory / "metrics.jsonl", std::nullopt, kLog);
  EXPECT_THROW(writer.write("train", 1, 1, {{"step", 2}}), std::invalid_argument);
  EXPECT_THROW(writer.write("train", 1, 1, {{"a", 1.0}, {"a", 2.0}}), std::invalid_argument);
  EXPECT_THROW(writer.write("train", 1, 1, {{"nonfinite", 2}}), std::invalid_argument);
  EXPECT_EQ(read_file(directory / "metrics.jsonl"), "");
}

TEST(MetricsWriter, DropsLaterRecordsAndATornLineOnResume) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  const std::string kept = record_of(1) + record_of(2) + record_of(2);
  write_file(path, kept + record_of(3) + record_of(4) + R"({"event":"train","st)");
  MetricsWriter writer(path, ResumePoint{2}, kLog);
  EXPECT_EQ(read_file(path), kept);
  writer.write("train", 3, 1, {});
  EXPECT_THAT(steps_of(path), ElementsAre(1, 2, 2, 3));
}

TEST(MetricsWriter, DropsRecordsOfItsStepThatACheckpointDoesNotKnowOf) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  const auto record = [](const std::string& kind, int step) {
    return R"({"event":)" + kind + ",\"step\":" + std::to_string(step) + "}\n";
  };
  const std::string eval = R"("eval")", variance = R"("probe","name":"variance")",
                    other = R"("probe","name":"other")";
  const std::string kept = record(eval, 0) + record_of(1) + record(eval, 1) + record(variance, 1) +
                           record_of(2) + record(other, 2);
  write_file(path, kept + record(eval, 2) + record(variance, 2));
  { const MetricsWriter writer(path, ResumePoint{2, {{"eval", 1}, {"probe/variance", 1}}}, kLog); }
  EXPECT_EQ(read_file(path), kept);
}

TEST(MetricsWriter, DropsAWholeRecordThatLostItsNewline) {  // its end may be missing as well
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  const std::string last = record_of(2);
  write_file(path, record_of(1) + last.substr(0, last.size() - 1));
  const MetricsWriter writer(path, ResumePoint{5}, kLog);
  EXPECT_EQ(read_file(path), record_of(1));
}

TEST(MetricsWriter, DropsTheZerosThatAPowerCutLeaves) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  write_file(path, record_of(1) + std::string(4096, '\0'));
  const MetricsWriter writer(path, ResumePoint{5}, kLog);
  EXPECT_EQ(read_file(path), record_of(1));
}

TEST(MetricsWriter, WarnsOfLinesThatAreNotRecords) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  write_file(path, record_of(1) + "garbage\n" + record_of(2));
  testing::internal::CaptureStderr();
  const MetricsWriter writer(path, ResumePoint{2}, kLog);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("metrics.jsonl:2: isn't a record"));
  EXPECT_THAT(steps_of(path), ElementsAre(1, 2));
}

TEST(MetricsWriter, NeverWritesToAFileThatHasAnotherName) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  write_file(directory / "victim", record_of(1));
  for (const bool hard : {true, false}) {
    std::filesystem::remove(path);
    hard ? std::filesystem::create_hard_link(directory / "victim", path)
         : std::filesystem::create_symlink("victim", path);
    MetricsWriter(path, ResumePoint{1}, kLog).write("train", 2, 1, {});
    EXPECT_EQ(read_file(directory / "victim"), record_of(1));
    EXPECT_THAT(steps_of(path), ElementsAre(1, 2));
  }
  EXPECT_NO_THROW(MetricsWriter(directory / "new.jsonl", ResumePoint{1}, kLog));
}

TEST(MetricsWriter, StartsANewFileForANewRun) {
  const TemporaryDirectory directory;
  write_file(directory / "metrics.jsonl", record_of(1));
  const MetricsWriter writer(directory / "metrics.jsonl", std::nullopt, kLog);
  EXPECT_EQ(read_file(directory / "metrics.jsonl"), "");
}

TEST(MetricsWriter, WarnsOnceOfAFullDiskAndGoesOnWithoutTornLines) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  MetricsWriter writer(path, std::nullopt, kLog);
  writer.write("train", 1, 1, {{"note", std::string(4096, 'x')}});  // the warning itself has room
  testing::internal::CaptureStderr();
  {
    const FileSizeLimit limit(std::filesystem::file_size(path) + 20);
    EXPECT_NO_THROW(writer.write("train", 2, 1, {{"loss", 1.0}}));
    EXPECT_NO_THROW(writer.write("train", 3, 1, {{"loss", 1.0}}));
  }
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(warnings.begin(), warnings.end(), '\n'), 1) << warnings;
  EXPECT_THAT(warnings, HasSubstr("warning: can't write " + path.string()));
  writer.write("train", 4, 1, {});  // there is room again
  EXPECT_THAT(steps_of(path), ElementsAre(1, 4));
}

TEST(MetricsWriter, RefusesAFileThatItCannotOpen) {
  EXPECT_THROW(MetricsWriter("/nowhere/metrics.jsonl", std::nullopt, kLog), DiskError);
  EXPECT_THROW(MetricsWriter("/nowhere/metrics.jsonl", ResumePoint{1}, kLog), DiskError);
}

TEST(ReadMetrics, NamesTheLineThatIsNotARecord) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.jsonl";
  for (const char* line :
       {"garbage", "[]", "{}", R"({"event":"train"})", R"({"event":"a","step":1.5})"}) {
    write_file(path, record_of(1) + line + "\n" + record_of(2));
    EXPECT_EQ(message_of<DataError>([&] { read_metrics(path); }),
              path.string() + ":2: isn't a record of a run's metrics");
  }
  write_file(path, record_of(1) + R"({"event":)");
  EXPECT_THAT(steps_of(path), ElementsAre(1));
}

}  // namespace
}  // namespace fathom
