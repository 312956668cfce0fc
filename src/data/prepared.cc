#include "fathom/data/prepared.h"

#include <sys/stat.h>

#include <chrono>
#include <map>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/base/json.h"
#include "fathom/data/find_files.h"
#include "fathom/data/prepare.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxMemoryBytes = uint64_t{256} << 20;
constexpr int64_t kSettled = 2'000'000'000;  // ns: a later write gets another time stamp

/// Checksums of files, remembered by size, time and inode in CACHE_DIR/checksums.json. It is only a
/// memory: one that can't be read is forgotten.
class ChecksumMemory {
 public:
  explicit ChecksumMemory(const fs::path& cache_dir) : path_(cache_dir / "checksums.json") {
    try {
      if (fs::exists(path_))
        known_ = parse_json(read_text_file(path_, kMaxMemoryBytes), path_.string())
                     .get<std::map<std::string, std::string>>();
    } catch (const std::exception&) {
      known_.clear();
    }
  }

  /// "" where it isn't remembered.
  std::string known(const fs::path& path) const {
    const auto found = known_.find(key_of(path, FileIdentity::of(path)));
    return found == known_.end() ? "" : found->second;
  }

  std::string checksum(const fs::path& path, const StopFlag& stop) {
    return remember(path, [&] { return hash(path, stop); });
  }

  /// What `compute` says of a file, once for each state of it.
  template <typename Compute>
  std::string remember(const fs::path& path, const Compute& compute) {
    const FileIdentity identity = FileIdentity::of(path);
    const std::string key = key_of(path, identity);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    std::string checksum = compute();
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const int64_t age =
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() - identity.mtime_ns;
    if (age > kSettled && FileIdentity::of(path) == identity) {
      known_[key] = checksum;
      changed_ = true;
    }
    return checksum;
  }

  void save(const Log& log) const {
    if (!changed_) return;
    try {
      make_directories(path_.parent_path());
      write_text_file(path_, Json(known_).dump(1));
    } catch (const DiskError& error) {
      log.warn(cat("checksums of data files are not remembered: ", error.what()));
    }
  }

 private:
  static std::string key_of(const fs::path& path, const FileIdentity& identity) {
    return cat(fs::absolute(path).string(), "|", identity.size, "|", identity.mtime_ns, "|",
               identity.inode, "|", identity.device);
  }

  static std::string hash(const fs::path& path, const StopFlag& stop) {
    InputFile file(path);
    Sha256 hash;
    std::vector<std::byte> block(size_t{1} << 20);
    while (const size_t n = file.read(block)) {
      stop.check();
      hash.update(std::span(block).first(n));
    }
    return hash.hex_digest();
  }

  fs::path path_;
  std::map<std::string, std::string> known_;
  bool changed_ = false;
};

/// Everything that the content of the token file depends on.
/// @param checksum of a file's content
template <typename Checksum>
std::string cache_key(const std::vector<DataFile>& files, const PrepareOptions& options,
                      const Tokenizer& tokenizer, const Checksum& checksum) {
  Sha256 key;
  key.update(cat("fathom tokens 1\n", tokenizer.checksum(), "\n", options.add_bos, "\n",
                 options.read.on_invalid_utf8, "\n", options.read.max_document_bytes, "\n",
                 options.read.text_field.size(), " ", options.read.text_field, "\n"));
  if (options.read.on_missing_text != "error") key.update(options.read.on_missing_text + "\n");
  for (const DataFile& file : files)
    key.update(cat(file.format->name, " ", file.compression ? file.compression->name : "none", " ",
                   file.named, " ", checksum(file.path), "\n"));
  return key.hex_digest();
}

/// The file of the cache that a key names.
fs::path cache_path(const fs::path& cache_dir, const std::string& key) {
  constexpr size_t kNameDigits = 16;  // 64 bits: no two of a cache are alike by chance
  return cache_dir / (key.substr(0, kNameDigits) + ".tokens");
}

/// Opens a token file and, where that wasn't done before, reads all of it: ids that a disk or a
/// copy got wrong would be trained on.
TokenFile open_whole(const fs::path& path, bool hold_open, ChecksumMemory& memory,
                     const StopFlag& stop) {
  TokenFile file = TokenFile::open(path, hold_open);
  memory.remember(path, [&] {
    file.verify(stop);
    return file.info().content_checksum;
  });
  return file;
}

TokenFile prepared_text(const std::vector<DataFile>& files, const DataConfig& config,
                        const Tokenizer& tokenizer, const std::string& title, const Log& log,
                        const StopFlag& stop, SettingNames names) {
  tokenizer.require_text();
  const fs::path cache_dir = resolve_output(config.cache_dir);
  make_directories(cache_dir);
  remove_temporaries(cache_dir, [](std::string_view name) { return name.ends_with(".tokens"); });
  PrepareOptions options = PrepareOptions::from(config);
  options.read.names = names;
  ChecksumMemory memory(cache_dir);
  const std::string key = cache_key(
      files, options, tokenizer, [&](const fs::path& path) { return memory.checksum(path, stop); });
  memory.save(log);
  const fs::path path = cache_path(cache_dir, key);
  if (fs::exists(path)) {
    try {
      TokenFile file = open_whole(path, /*hold_open=*/true, memory, stop);
      memory.save(log);
      return file;
    } catch (const DataError& error) {
      log.warn(cat(error.what(), "; preparing it again"));
    }
  }
  const auto prepare_in_sight = [&] {
    Progress progress(title, static_cast<double>(total_bytes(files)));
    return prepare(files, tokenizer, options, path, &progress, stop);
  };
  const TokenFileInfo info = prepare_in_sight();
  log.info(cat(title, ": ", info.num_documents, " documents, ", info.num_tokens, " tokens in ",
               path.string()));
  return TokenFile::open(path);
}

}  // namespace

void check_tokenizer(const TokenFile& file, const Tokenizer& tokenizer, SettingNames names) {
  if (file.info().tokenizer_checksum != tokenizer.checksum())
    throw DataError(cat(file.path().string(), " was made with another tokenizer (sha256 ",
                        file.info().tokenizer_checksum.substr(0, 12), "...) than ",
                        tokenizer.name(), " (", tokenizer.checksum().substr(0, 12),
                        "...); prepare its text again, or ",
                        names == SettingNames::keys ? "set data.tokenizer to the other one"
                                                    : "name a model that has the other one"));
}

bool is_quick_to_prepare(const DataConfig& config, const Tokenizer& tokenizer) {
  constexpr uint64_t kQuickBytes = uint64_t{16} << 20;
  constexpr uint64_t kCompression = 4;  // about what gzip and zstd make of text
  const ChecksumMemory memory(config.cache_dir);
  const PrepareOptions options = PrepareOptions::from(config);
  uint64_t bytes = 0;
  for (const auto* inputs : {&config.train, &config.validation}) {
    std::vector<DataFile> text;
    for (const DataFile& file : find_files(*inputs)) {
      if (!file.is_token_file()) text.push_back(file);
    }
    const std::string key = cache_key(text, options, tokenizer,
                                      [&](const fs::path& path) { return memory.known(path); });
    if (fs::exists(cache_path(config.cache_dir, key))) continue;
    for (const DataFile& file : text) bytes += file.bytes * (file.compression ? kCompression : 1);
  }
  return bytes <= kQuickBytes;
}

std::vector<TokenFile> prepared(const std::vector<std::string>& inputs, const DataConfig& config,
                                const Tokenizer& tokenizer, const std::string& title,
                                const Log& log, const StopFlag& stop, SettingNames names) {
  std::vector<DataFile> text;
  std::vector<TokenFile> files;
  const std::vector<DataFile> found = find_files(inputs, &log);
  const bool hold_open = may_hold_open(found.size());
  ChecksumMemory memory(config.cache_dir);
  for (const DataFile& file : found) {
    if (file.is_token_file())
      files.push_back(open_whole(file.path, hold_open, memory, stop));
    else
      text.push_back(file);
  }
  memory.save(log);
  if (!text.empty())
    files.insert(files.begin(), prepared_text(text, config, tokenizer, title, log, stop, names));
  if (files.empty()) throw DataError(cat(title, ": no data files are given"));
  for (const TokenFile& file : files) {
    check_tokenizer(file, tokenizer, names);
    warn_of_gaps(file.info(), title, log);  // each time the data is used
  }
  return files;
}

}  // namespace fathom
