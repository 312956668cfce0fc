#include "safetensors_header.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/json.h"

namespace fathom {
namespace {

struct TypeRow {
  TensorType type;
  std::string_view name;
  uint64_t size;
};

constexpr std::array kTypes{
    TypeRow{TensorType::kBool, "BOOL", 1},      TypeRow{TensorType::kU8, "U8", 1},
    TypeRow{TensorType::kI8, "I8", 1},          TypeRow{TensorType::kF8E5M2, "F8_E5M2", 1},
    TypeRow{TensorType::kF8E4M3, "F8_E4M3", 1}, TypeRow{TensorType::kI16, "I16", 2},
    TypeRow{TensorType::kU16, "U16", 2},        TypeRow{TensorType::kF16, "F16", 2},
    TypeRow{TensorType::kBF16, "BF16", 2},      TypeRow{TensorType::kI32, "I32", 4},
    TypeRow{TensorType::kU32, "U32", 4},        TypeRow{TensorType::kF32, "F32", 4},
    TypeRow{TensorType::kF64, "F64", 8},        TypeRow{TensorType::kI64, "I64", 8},
    TypeRow{TensorType::kU64, "U64", 8}};
static_assert(std::is_sorted(kTypes.begin(), kTypes.end(),
                             [](const TypeRow& a, const TypeRow& b) { return a.type < b.type; }),
              "row_of indexes it");

constexpr size_t kMaxRank = 8;
constexpr int64_t kMaxDimension = (int64_t{1} << 48) - 1;
constexpr size_t kMaxMetadata = 100'000;

const TypeRow& row_of(TensorType type) { return kTypes.at(static_cast<size_t>(type)); }

/// @throws CheckpointError with the reason alone; the caller knows the tensor
uint64_t checked_num_bytes(TensorType dtype, const std::vector<int64_t>& shape) {
  if (shape.size() > kMaxRank)
    throw CheckpointError(cat("has more than ", kMaxRank, " dimensions"));
  uint64_t bytes = size_of(dtype);
  for (const int64_t dimension : shape) {
    if (dimension < 0 || dimension > kMaxDimension)
      throw CheckpointError(cat("a dimension is ", dimension, "; it must be below 2^48"));
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes))
      throw CheckpointError("its shape has more elements than fit in 64 bits");
  }
  return bytes;
}

/// Receives the header's JSON from nlohmann's parser. `state_` says what may come next.
class HeaderParser {
 public:
  HeaderParser(std::string_view file, uint64_t data_bytes, SafetensorsHeader& header)
      : file_(file), data_bytes_(data_bytes), header_(&header) {}

  bool start_object(size_t /*size*/);
  bool key(std::string& key);
  bool end_object();
  bool start_array(size_t /*size*/);
  bool end_array();
  bool number_unsigned(uint64_t value);
  bool string(std::string& value);
  bool number_integer(int64_t /*negative*/) { wrong_value(); }
  bool number_float(double /*value*/, const std::string& /*text*/) { wrong_value(); }
  bool boolean(bool /*value*/) { wrong_value(); }
  bool null() { wrong_value(); }
  bool binary(Json::binary_t& /*value*/) { wrong_value(); }

  template <typename Exception>
  bool parse_error(size_t position, const std::string& /*token*/, const Exception& error) {
    // "[json...] parse error at ...: syntax error ...; last read: <raw bytes>"
    std::string_view reason = error.what();
    reason = reason.substr(0, reason.find("; last read"));
    reason = reason.substr(std::min(reason.size(), reason.find("syntax error")));
    refuse(cat("the header isn't valid JSON at byte ", position, ": ",
               reason.empty() ? "a number is out of range" : reason));
  }

 private:
  enum class State {
    kHeader,
    kNames,
    kTensor,
    kFields,
    kDtype,
    kShape,
    kDimensions,
    kOffsets,
    kOffsetPair,
    kMetadata,
    kMetadataKeys,
    kMetadataValue
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    throw CheckpointError(cat(file_, ": ", reason));
  }
  [[noreturn]] void refuse_tensor(const std::string& reason) const {
    refuse(cat("tensor ", quote_name(entry_.spec.name), ": ", reason));
  }
  [[noreturn]] void wrong_value() const;
  void start_field(const std::string& field);
  void start_metadata_entry(const std::string& key);
  void finish_tensor();

  std::string_view file_;
  uint64_t data_bytes_;
  SafetensorsHeader* header_;
  State state_ = State::kHeader;
  std::unordered_set<std::string> names_;
  TensorEntry entry_;              // the tensor that is being read
  std::set<std::string> fields_;   // of it
  std::vector<uint64_t> offsets_;  // of it
  std::string metadata_key_;
};

void HeaderParser::wrong_value() const {
  switch (state_) {
    case State::kTensor:
      refuse_tensor("isn't an object");
    case State::kDtype:
      refuse_tensor("dtype isn't a string");
    case State::kShape:
    case State::kDimensions:
      refuse_tensor("shape isn't a list of integers from 0 to 2^48 - 1");
    case State::kOffsets:
    case State::kOffsetPair:
      refuse_tensor("data_offsets isn't a list of two integers from 0 to 2^64 - 1");
    case State::kMetadata:
      refuse("__metadata__ isn't an object");
    case State::kMetadataValue:
      refuse(cat("__metadata__: ", quote_name(metadata_key_), " isn't a string"));
    default:
      refuse("the header isn't an object");
  }
}

bool HeaderParser::start_object(size_t) {
  switch (state_) {
    case State::kHeader:
      state_ = State::kNames;
      return true;
    case State::kTensor:
      state_ = State::kFields;
      return true;
    case State::kMetadata:
      state_ = State::kMetadataKeys;
      return true;
    default:
      wrong_value();
  }
}

bool HeaderParser::key(std::string& key) {
  if (state_ == State::kFields) {
    start_field(key);
  } else if (state_ == State::kMetadataKeys) {
    start_metadata_entry(key);
  } else {
    if (!names_.insert(key).second) refuse(cat("tensor ", quote_name(key), ": appears twice"));
    state_ = key == "__metadata__" ? State::kMetadata : State::kTensor;
    if (state_ == State::kTensor && header_->tensors.size() == kMaxTensors)
      refuse(cat("has more than ", kMaxTensors, " tensors"));
    entry_ = {};
    entry_.spec.name = std::move(key);
    fields_.clear();
    offsets_.clear();
  }
  return true;
}

void HeaderParser::start_field(const std::string& field) {
  constexpr std::array kFields{std::pair{"dtype", State::kDtype}, std::pair{"shape", State::kShape},
                               std::pair{"data_offsets", State::kOffsets}};
  const auto known = std::find_if(kFields.begin(), kFields.end(),
                                  [&](const auto& row) { return row.first == field; });
  if (known == kFields.end())
    refuse_tensor(
        cat("unknown field ", quote_name(field), "; allowed: dtype, shape, data_offsets"));
  if (!fields_.insert(field).second) refuse_tensor(cat("field '", field, "' appears twice"));
  state_ = known->second;
}

void HeaderParser::start_metadata_entry(const std::string& key) {
  if (header_->metadata.count(key) != 0)
    refuse(cat("__metadata__: ", quote_name(key), " appears twice"));
  if (header_->metadata.size() == kMaxMetadata)
    refuse(cat("__metadata__ has more than ", kMaxMetadata, " entries"));
  metadata_key_ = key;
  state_ = State::kMetadataValue;
}

bool HeaderParser::end_object() {
  if (state_ == State::kFields) finish_tensor();
  state_ = State::kNames;
  return true;
}

void HeaderParser::finish_tensor() {
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (fields_.count(field) == 0) refuse_tensor(cat("has no ", field));
  }
  entry_.begin = offsets_[0];
  entry_.end = offsets_[1];
  if (entry_.begin > entry_.end)
    refuse_tensor(cat("data_offsets run backwards, from ", entry_.begin, " to ", entry_.end));
  if (entry_.end > data_bytes_)
    refuse_tensor(cat("ends at byte ", entry_.end, " of the data; the file has only ", data_bytes_,
                      " (is it truncated?)"));
  uint64_t expected = 0;
  try {
    expected = entry_.spec.num_bytes();
  } catch (const CheckpointError& error) {
    refuse(error.what());
  }
  if (entry_.end - entry_.begin != expected)
    refuse_tensor(
        cat("has ", entry_.end - entry_.begin, " bytes; its dtype and shape need ", expected));
  header_->tensors.push_back(std::move(entry_));
}

bool HeaderParser::start_array(size_t) {
  if (state_ == State::kShape) {
    state_ = State::kDimensions;
  } else if (state_ == State::kOffsets) {
    state_ = State::kOffsetPair;
  } else {
    wrong_value();
  }
  return true;
}

bool HeaderParser::end_array() {
  if (state_ == State::kOffsetPair && offsets_.size() != 2) wrong_value();
  state_ = State::kFields;
  return true;
}

bool HeaderParser::number_unsigned(uint64_t value) {
  if (state_ == State::kDimensions) {
    if (value > static_cast<uint64_t>(kMaxDimension))
      refuse_tensor(cat("a dimension is ", value, "; it must be below 2^48"));
    if (entry_.spec.shape.size() == kMaxRank)
      refuse_tensor(cat("has more than ", kMaxRank, " dimensions"));
    entry_.spec.shape.push_back(static_cast<int64_t>(value));
  } else if (state_ == State::kOffsetPair && offsets_.size() < 2) {
    offsets_.push_back(value);
  } else {
    wrong_value();
  }
  return true;
}

bool HeaderParser::string(std::string& value) {
  if (state_ == State::kMetadataValue) {
    header_->metadata.emplace(std::move(metadata_key_), std::move(value));
    state_ = State::kMetadataKeys;
    return true;
  }
  if (state_ != State::kDtype) wrong_value();
  const auto row = std::find_if(kTypes.begin(), kTypes.end(),
                                [&](const TypeRow& type) { return type.name == value; });
  if (row == kTypes.end()) {
    std::vector<std::string> names;
    for (const TypeRow& type : kTypes) names.emplace_back(type.name);
    refuse_tensor(cat("unknown dtype ", quote_name(value), "; known: ", join(names)));
  }
  entry_.spec.dtype = row->type;
  state_ = State::kFields;
  return true;
}

/// Ranges must touch each other from the first byte of the data to the last.
void check_coverage(const std::vector<TensorEntry>& tensors, std::string_view file,
                    uint64_t data_bytes) {
  uint64_t covered = 0;
  const TensorEntry* previous = nullptr;
  for (const TensorEntry& entry : tensors) {
    const auto refuse = [&](const std::string& reason) {
      throw CheckpointError(cat(file, ": tensor ", quote_name(entry.spec.name), ": ", reason));
    };
    if (entry.begin > covered)
      refuse(cat("the ", entry.begin - covered, " bytes before it belong to no tensor"));
    if (entry.begin < covered) refuse(cat("overlaps ", quote_name(previous->spec.name)));
    covered = entry.end;
    previous = &entry;
  }
  if (covered < data_bytes)
    throw CheckpointError(
        cat(file, ": the last ", data_bytes - covered, " bytes belong to no tensor"));
}

}  // namespace

std::string_view name_of(TensorType type) { return row_of(type).name; }

uint64_t size_of(TensorType type) { return row_of(type).size; }

uint64_t TensorSpec::num_bytes() const {
  try {
    return checked_num_bytes(dtype, shape);
  } catch (const CheckpointError& error) {
    throw CheckpointError(cat("tensor ", quote_name(name), ": ", error.what()));
  }
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view file,
                                           uint64_t data_bytes) {
  SafetensorsHeader header;
  // nlohmann takes a NUL for the end of the text.
  if (const size_t nul = json.find('\0'); nul != std::string_view::npos)
    throw CheckpointError(cat(file, ": the header isn't valid JSON at byte ", nul, ": a NUL"));
  HeaderParser parser(file, data_bytes, header);
  Json::sax_parse(json.begin(), json.end(), &parser);
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_coverage(header.tensors, file, data_bytes);
  return header;
}

std::string format_safetensors_header(const std::vector<TensorSpec>& tensors,
                                      const std::map<std::string, std::string>& metadata,
                                      std::string_view file) {
  // Text by text: nlohmann's ordered objects look keys up linearly.
  std::string json = R"({"__metadata__":)" + Json(metadata).dump();
  uint64_t begin = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t end = begin + tensor.num_bytes();
    if (end < begin) throw CheckpointError(cat(file, ": the tensors need more than 2^64 bytes"));
    json +=
        cat(",", Json(tensor.name).dump(), R"(:{"dtype":")", name_of(tensor.dtype), R"(","shape":)",
            Json(tensor.shape).dump(), R"(,"data_offsets":[)", begin, ",", end, "]}");
    begin = end;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kMaxHeaderBytes || tensors.size() > kMaxTensors)
    throw CheckpointError(cat(file, ": ", tensors.size(), " tensors with a header of ", json.size(),
                              " bytes; at most ", kMaxTensors, " and ", kMaxHeaderBytes,
                              " are allowed: split the file"));
  return json;
}

}  // namespace fathom
