#include "fathom/io/checkpoint_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/base/json.h"
#include "fathom/io/disk_room.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const StopFlag kNeverStops;

fs::path save(const fs::path& root, int64_t step, const std::string& text = "weights") {
  CheckpointWriter writer(root, step);
  write_file(writer.file("model.safetensors"), text);
  write_file(writer.file("config.json"), "{}");
  return writer.publish().directory;
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int64_t> steps_in(const fs::path& root) {
  std::vector<int64_t> steps;
  for (const Checkpoint& checkpoint : find_checkpoints(root)) steps.push_back(checkpoint.step);
  return steps;
}

std::string refusal(const fs::path& directory) {
  return message_of<CheckpointError>([&] { verify(directory, kNeverStops); });
}

TEST(CheckpointWriter, PublishesItsFilesWithTheirSizesAndHashes) {
  const TemporaryDirectory root;
  const fs::path directory = save(root.path(), 1000);
  EXPECT_EQ(directory, root / "step-00001000");
  EXPECT_THAT(names_in(directory),
              ElementsAre("config.json", "manifest.json", "model.safetensors"));
  const Json manifest = Json::parse(read_file(directory / "manifest.json"));
  EXPECT_EQ(manifest["step"], 1000);
  EXPECT_EQ(manifest["files"].size(), 2U);
  EXPECT_EQ(manifest["files"]["model.safetensors"]["size"], 7);
  EXPECT_EQ(manifest["files"]["model.safetensors"]["sha256"], sha256("weights"));
  EXPECT_EQ(verify(directory, kNeverStops).step, 1000);
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00001000"));
}

TEST(CheckpointWriter, LeavesNothingWhenItIsNotPublished) {
  const TemporaryDirectory root;
  {
    const CheckpointWriter writer(root.path(), 7);
    write_file(writer.file("model.safetensors"), "weights");
    EXPECT_THAT(names_in(root.path()), ElementsAre(HasSubstr("step-00000007.tmp-")));
    EXPECT_TRUE(find_checkpoints(root.path()).empty());
  }
  EXPECT_TRUE(fs::is_empty(root.path()));
}

TEST(CheckpointWriter, ReplacesACheckpointOfTheSameStep) {
  const TemporaryDirectory root;
  save(root.path(), 5, "first");
  const fs::path directory = save(root.path(), 5, "second");
  EXPECT_EQ(read_file(directory / "model.safetensors"), "second");
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00000005"));
}

TEST(CheckpointWriter, TakesBareFileNamesOnly) {
  const TemporaryDirectory root;
  const CheckpointWriter writer(root.path(), 1);
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd", "manifest.json"})
    EXPECT_THROW(writer.file(name), std::invalid_argument) << name;
}

/// In place: ext4 waits for the disk when a file is truncated and written anew.
void flip_bit(const fs::path& path, size_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto byte = static_cast<std::streamoff>(bit / 8);
  file.seekg(byte);
  const int flipped = file.get() ^ (1 << (bit % 8));
  file.seekp(byte);
  file.put(static_cast<char>(flipped));
}

TEST(Verify, DetectsEveryFlippedBit) {
  const TemporaryDirectory root;
  const fs::path directory = save(root.path(), 12, std::string(60, 'w'));
  size_t num_flips = 0;
  for (const std::string& name : names_in(directory)) {
    const size_t num_bits = fs::file_size(directory / name) * 8;
    for (size_t bit = 0; bit < num_bits; ++bit, ++num_flips) {
      flip_bit(directory / name, bit);
      ASSERT_THAT(refusal(directory), HasSubstr(name)) << "bit " << bit;
      flip_bit(directory / name, bit);
    }
  }
  EXPECT_GT(num_flips, 8U * 400);
  EXPECT_NO_THROW(verify(directory, kNeverStops));
}

TEST(Verify, KnowsTheFilesOfFoldersToo) {
  const TemporaryDirectory root;
  CheckpointWriter writer(root.path(), 1);
  write_file(writer.file("model.safetensors"), "weights");
  const fs::path folder = writer.file("model.safetensors").parent_path() / "templates";
  fs::create_directory(folder);
  write_file(folder / "a.jinja", "text");
  const fs::path directory = writer.publish().directory;
  const Json manifest = Json::parse(read_file(directory / "manifest.json"));
  EXPECT_EQ(manifest["files"]["templates/a.jinja"]["size"], 4);
  EXPECT_EQ(refusal(directory), "(nothing was thrown)");
  write_file(directory / "templates/a.jinja", "test");
  EXPECT_THAT(refusal(directory), HasSubstr("templates/a.jinja: is damaged"));
}

TEST(WarnOfEdits, NamesWhatWasChangedAndWhatIsMissing) {
  const TemporaryDirectory root;
  CheckpointWriter writer(root.path(), 1);
  for (const char* name :
       {"a.json", "b.json", "c.json", "model.safetensors", "optimizer.safetensors"})
    write_file(writer.file(name), "{}");
  const fs::path directory = writer.publish().directory;
  write_file(directory / "a.json", "{ }");
  fs::remove(directory / "b.json");
  fs::remove(directory / "optimizer.safetensors");  // people save the room
  ::testing::internal::CaptureStderr();
  warn_of_edits(directory, Log());
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr((directory / "a.json").string() + " was changed"));
  EXPECT_THAT(said,
              HasSubstr((directory / "b.json").string() + " is missing: manifest.json lists"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2);
}

TEST(NewestValid, AdvisesWhoUsesTheModelOtherwiseThanWhoTrainsIt) {
  const TemporaryDirectory root;
  write_file(save(root.path(), 1) / "model.safetensors", "weightS");
  const auto refusal_of = [&](Verified what) {
    return message_of<CheckpointError>([&] {
      std::vector<SkippedCheckpoint> skipped;
      newest_valid(root.path(), skipped, kNeverStops, {}, what);
    });
  };
  EXPECT_THAT(refusal_of(Verified::all_files), HasSubstr("move them away to train from scratch"));
  EXPECT_THAT(refusal_of(Verified::weights),
              HasSubstr("name another run's directory or a model's"));
}

TEST(Verify, DetectsEveryTruncationAndAnAppendedByte) {
  const TemporaryDirectory root;
  const fs::path directory = save(root.path(), 12, std::string(60, 'w'));
  for (const std::string& name : names_in(directory)) {
    const fs::path path = directory / name;
    const std::string content = read_file(path);
    write_file(path, content + '\n');
    EXPECT_THAT(refusal(directory), HasSubstr(name)) << "a byte was appended";
    for (size_t size = content.size(); size-- > 0;) {
      fs::resize_file(path, size);
      ASSERT_THAT(refusal(directory), HasSubstr(name)) << "cut to " << size << " bytes";
    }
    write_file(path, content);
  }
  EXPECT_NO_THROW(verify(directory, kNeverStops));
}

TEST(Verify, NamesTheFileAndWhatIsWrongWithIt) {
  const TemporaryDirectory root;
  const fs::path directory = save(root.path(), 12);
  const fs::path model = directory / "model.safetensors";
  write_file(model, "weightS");
  EXPECT_EQ(refusal(directory), model.string() + ": is damaged: its SHA-256 isn't the manifest's");
  write_file(model, "weigh");
  EXPECT_EQ(refusal(directory), model.string() + ": has 5 bytes; the manifest says 7");
  fs::remove(model);
  EXPECT_EQ(refusal(directory), model.string() + ": is missing");
  fs::create_directory(model);
  EXPECT_EQ(refusal(directory), model.string() + ": is missing");
  fs::remove(directory / "manifest.json");
  EXPECT_EQ(refusal(directory), (directory / "manifest.json").string() + ": is missing");
  EXPECT_THAT(refusal(root / "nowhere"), HasSubstr("nowhere/manifest.json: is missing"));
}

/// Writes a manifest with a right seal around any content.
void write_manifest(const fs::path& directory, const std::string& fields) {
  const std::string body = "{\n" + fields + ",\n";
  write_file(directory / "manifest.json",
             body + "  \"manifest_sha256\": \"" + sha256(body) + "\"\n}\n");
}

TEST(Verify, RefusesManifestsThatASealDoesNotMakeGood) {
  const TemporaryDirectory root;
  const fs::path directory = root / "step-00000012";
  fs::create_directory(directory);
  const auto refused = [&](const std::string& fields) {
    write_manifest(directory, fields);
    return refusal(directory);
  };
  const std::string head = R"("version": 1, "step": 12, "files": )";
  EXPECT_EQ(refused(head + "{}"), "(nothing was thrown)");
  EXPECT_THAT(refused(R"("version": 2, "step": 12, "files": {})"),
              HasSubstr("format version 2, which a newer Fathom wrote; this one reads up to 1"));
  EXPECT_THAT(refused(R"("version": 1, "step": 13, "files": {})"), HasSubstr("is of step 13"));
  EXPECT_THAT(refused(R"("version": 1, "step": -12, "files": {})"),
              HasSubstr("step isn't a whole"));
  EXPECT_THAT(refused(R"("version": 1, "step": 1.5, "files": {})"),
              HasSubstr("step isn't a whole"));
  EXPECT_THAT(refused(R"("step": 12, "files": {})"), HasSubstr("isn't a manifest"));
  EXPECT_THAT(refused(R"("version": 1, "step": 12)"), HasSubstr("isn't a manifest"));
  EXPECT_THAT(refused(head + R"({"../x": {"size": 1, "sha256": ""}})"), HasSubstr("bad file name"));
  EXPECT_THAT(refused(head + R"({"/etc/passwd": {"size": 1, "sha256": ""}})"),
              HasSubstr("bad file name"));
  EXPECT_THAT(refused(head + R"({"a": {"size": -1, "sha256": ""}})"), HasSubstr("size isn't"));
  EXPECT_THAT(refused(head + R"({"a": []})"), HasSubstr("isn't a manifest"));
  EXPECT_THAT(refused(head + R"({"a": {}})"), Not(HasSubstr("json.exception")));
  write_file(directory / "manifest.json", "[]");
  EXPECT_THAT(refusal(directory), HasSubstr("isn't a manifest: it holds an array, not an object"));
}

TEST(Verify, StopsWhenItIsAskedTo) {
  const TemporaryDirectory root;
  const fs::path directory = save(root.path(), 1);
  StopFlag stop;
  stop.request(SIGTERM);
  EXPECT_THROW(verify(directory, stop), Interrupted);
}

TEST(FindCheckpoints, SortsByStepAndLeavesOutOthersDirectories) {
  const TemporaryDirectory root;
  EXPECT_TRUE(find_checkpoints(root / "missing").empty());
  for (const int64_t step : {int64_t{100}, int64_t{99'999'999}, int64_t{9}, int64_t{100'000'000}})
    save(root.path(), step);
  for (const char* name : {"step-7", "step-00000007x", "step-", "best", "step-00000008.tmp-1f",
                           "step-00000008.trash-1f", "step-99999999999999999999"})
    fs::create_directory(root / name);
  write_file(root / "step-00000006", "a file");
  EXPECT_THAT(steps_in(root.path()), ElementsAre(9, 100, 99'999'999, 100'000'000));
}

TEST(NewestValid, SkipsDamagedCheckpointsAndSaysWhy) {
  const TemporaryDirectory root;
  std::vector<SkippedCheckpoint> skipped;
  EXPECT_FALSE(newest_valid(root.path(), skipped, kNeverStops).has_value());
  save(root.path(), 1);
  save(root.path(), 2);
  write_file(save(root.path(), 3) / "config.json", "{\n");
  fs::remove(save(root.path(), 4) / "manifest.json");
  const auto newest = newest_valid(root.path(), skipped, kNeverStops);
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->step, 2);
  ASSERT_EQ(skipped.size(), 2U);
  EXPECT_EQ(skipped[0].directory, root / "step-00000004");
  EXPECT_THAT(skipped[0].reason, HasSubstr("manifest.json: is missing"));
  EXPECT_THAT(skipped[1].reason, HasSubstr("step-00000003/config.json: is damaged"));
}

TEST(NewestValid, NeverTakesDamagedCheckpointsForAnEmptyDirectory) {
  const TemporaryDirectory root;
  fs::remove(save(root.path(), 3) / "config.json");
  std::vector<SkippedCheckpoint> skipped;
  EXPECT_THAT(message_of<CheckpointError>([&] { newest_valid(root.path(), skipped, kNeverStops); }),
              testing::AllOf(HasSubstr("no checkpoint in " + root.path().string() + " can be used"),
                             HasSubstr("step-00000003/config.json: is missing")));
}

TEST(KeepLast, RemovesTheOldest) {
  const TemporaryDirectory root;
  for (const int64_t step : {10, 9, 100, 1}) save(root.path(), step);
  EXPECT_TRUE(keep_last(root.path(), 4, kNeverStops).empty());
  const std::vector<Checkpoint> removed = keep_last(root.path(), 2, kNeverStops);
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00000010", "step-00000100"));
  EXPECT_EQ(removed.size(), 2U);
  EXPECT_THROW(keep_last(root.path(), 0, kNeverStops), std::invalid_argument);
}

TEST(KeepLast, DoesNotCountDamagedCheckpoints) {
  const TemporaryDirectory root;
  for (const int64_t step : {1, 2, 3, 4, 5}) save(root.path(), step);
  write_file(root / "step-00000004/config.json", "[]");
  write_file(root / "step-00000002/config.json", "[]");
  keep_last(root.path(), 2, kNeverStops);
  EXPECT_THAT(steps_in(root.path()), ElementsAre(3, 4, 5));  // 3 and 5 are the two valid ones
  keep_last(root.path(), 3, kNeverStops);
  EXPECT_THAT(steps_in(root.path()), ElementsAre(3, 4, 5));
}

TEST(SetAsideNewer, HidesWhatComesAfterAStepWithoutRemovingIt) {
  const TemporaryDirectory root;
  for (const int64_t step : {10, 20, 30}) save(root.path(), step);
  EXPECT_EQ(set_aside_newer(root.path(), 10).size(), 2U);
  EXPECT_THAT(steps_in(root.path()), ElementsAre(10));
  remove_leftovers(root.path(), kNeverStops);
  EXPECT_EQ(names_in(root.path()).size(), 3U);
}

TEST(RemoveLeftovers, RemovesHalfWrittenAndHalfRemovedDirectories) {
  const TemporaryDirectory root;
  save(root.path(), 1);
  fs::create_directory(root / "step-00000002.tmp-0a1b2c3d");
  write_file(root / "step-00000002.tmp-0a1b2c3d/model.safetensors", "half");
  fs::create_directory(root / "step-00000000.trash-0a1b2c3d");
  fs::create_directory(root / "notes.tmp-mine");
  EXPECT_EQ(remove_leftovers(root.path(), kNeverStops).size(), 2U);
  EXPECT_THAT(names_in(root.path()), ElementsAre("notes.tmp-mine", "step-00000001"));
  EXPECT_TRUE(remove_leftovers(root / "missing", kNeverStops).empty());
}

TEST(RemoveLeftovers, RestoresACheckpointWhoseReplacementNeverCame) {
  const TemporaryDirectory root;
  fs::rename(save(root.path(), 1), root / "step-00000001.old-0a1b2c3d");
  EXPECT_THAT(steps_in(root.path()), ElementsAre(1));  // found even before it has its name back
  EXPECT_TRUE(remove_leftovers(root.path(), kNeverStops).empty());
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00000001"));
}

TEST(RemoveLeftovers, RemovesACheckpointWhoseReplacementIsValid) {
  const TemporaryDirectory root;
  fs::rename(save(root.path(), 1, "first"), root / "step-00000001.old-0a1b2c3d");
  save(root.path(), 1, "second");
  EXPECT_THAT(steps_in(root.path()), ElementsAre(1));
  remove_leftovers(root.path(), kNeverStops);
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00000001"));
  EXPECT_EQ(read_file(root / "step-00000001/model.safetensors"), "second");
}

TEST(RemoveLeftovers, RestoresACheckpointWhoseReplacementIsDamaged) {
  const TemporaryDirectory root;
  fs::rename(save(root.path(), 1, "first"), root / "step-00000001.old-0a1b2c3d");
  write_file(save(root.path(), 1, "second") / "config.json", "");
  remove_leftovers(root.path(), kNeverStops);
  EXPECT_THAT(names_in(root.path()), ElementsAre("step-00000001"));
  EXPECT_EQ(read_file(root / "step-00000001/model.safetensors"), "first");
}

TEST(RequireFreeSpace, RefusesWhatDoesNotFit) {
  const TemporaryDirectory root;
  EXPECT_NO_THROW(require_free_space(root / "not/yet/there", 1));
  EXPECT_THAT(message_of<DiskError>([&] {
                require_free_space(root / "not/yet/there", std::numeric_limits<uint64_t>::max());
              }),
              HasSubstr("not/yet/there"));
}

}  // namespace
}  // namespace fathom
