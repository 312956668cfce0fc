#include "fathom/io/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <string>
#include <string_view>

#include "append_file.h"
#include "clock.h"
#include "crc32c.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"

namespace fathom {
namespace {

static_assert(std::endian::native == std::endian::little, "the bytes are copied as they are");

template <typename Number>
std::string raw(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

// Fields of a protocol buffer: the field's number and wire type, then its value.
std::string field(uint32_t number, uint32_t wire_type) { return varint(number << 3 | wire_type); }
std::string varint_field(uint32_t number, uint64_t value) {
  return field(number, 0) + varint(value);
}
std::string double_field(uint32_t number, double value) { return field(number, 1) + raw(value); }
std::string float_field(uint32_t number, float value) { return field(number, 5) + raw(value); }
std::string bytes_field(uint32_t number, const std::string& bytes) {
  return field(number, 2) + varint(bytes.size()) + bytes;
}

/// The checksum that TFRecord files use: rotated, so that one over data with checksums is sound.
uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

std::string tf_record(const std::string& payload) {
  const std::string length = raw(uint64_t{payload.size()});
  return length + raw(masked_crc32c(length)) + payload + raw(masked_crc32c(payload));
}

/// tensorflow.Event: 1 wall_time, 2 step, and one of 3 file_version, 5 summary, 7 session_log.
std::string event_record(int64_t step, const std::string& what) {
  return tf_record(double_field(1, seconds_since_1970()) +
                   varint_field(2, static_cast<uint64_t>(step)) + what);
}

/// Seconds for a file name that sorts behind the files that are there, whatever the clock did:
/// TensorBoard reads them in the order of their names.
int64_t time_for_name(const std::filesystem::path& directory) {
  auto time = static_cast<int64_t>(seconds_since_1970());
  constexpr std::string_view kPrefix = "events.out.tfevents.";
  std::error_code error;
  for (std::filesystem::directory_iterator file(directory, error), end; !error && file != end;
       file.increment(error)) {
    const std::string name = file->path().filename().string();
    long long other = 0;
    if (name.rfind(kPrefix, 0) == 0 &&
        std::sscanf(name.c_str() + kPrefix.size(), "%10lld", &other) == 1)
      time = std::max<int64_t>(time, other + 1);
  }
  return time;
}

std::unique_ptr<AppendFile> create_event_file(const std::filesystem::path& directory,
                                              const Log& log) {
  make_directories(directory);
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {"localhost"};
  std::array<char, 32> time{};
  std::snprintf(time.data(), time.size(), "%010lld",
                static_cast<long long>(time_for_name(directory)));
  const std::string name =
      cat("events.out.tfevents.", time.data(), ".", host.data(), ".", ::getpid(), ".0");
  return std::make_unique<AppendFile>(directory / name, AppendFile::Mode::kCreateNew, log);
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& directory,
                                     std::optional<int64_t> resume_step, const Log& log) {
  try {
    file_ = create_event_file(directory, log);
  } catch (const DiskError& error) {
    log.warn(cat(error.what(), "; the run goes on without TensorBoard files"));
    return;
  }
  file_->append(event_record(0, bytes_field(3, "brain.Event:2")));
  // SessionLog with status START: TensorBoard forgets all from this step on.
  if (resume_step)
    file_->append(event_record(*resume_step + 1, bytes_field(7, varint_field(1, 1))));
}

TensorBoardWriter::~TensorBoardWriter() = default;

void TensorBoardWriter::write(int64_t step, const MetricValues& values) {
  if (file_ == nullptr) return;
  std::string summary;
  const auto add = [&](const std::string& tag, double number) {
    summary += bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(number)));
  };
  for (const auto& [tag, value] : values) {
    if (const auto* number = std::get_if<double>(&value)) add(tag, *number);
    if (const auto* number = std::get_if<int64_t>(&value)) add(tag, static_cast<double>(*number));
    if (const auto* array = std::get_if<MetricArray>(&value)) {
      for (size_t i = 0; i < array->numbers.size(); ++i) {
        if (array->numbers[i].is_number())
          add(cat(tag, i < 9 ? "/0" : "/", i + 1), array->numbers[i].get<double>());
      }
    }
  }
  if (!summary.empty()) file_->append(event_record(step, bytes_field(5, summary)));
}

}  // namespace fathom
