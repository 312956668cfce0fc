#include "data/formats/foreign.h"

#include <algorithm>
#include <array>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::string_view kByPandas =
    "python -c \"import pandas; pandas.read_parquet('@').to_json('%.jsonl', orient='records', "
    "lines=True)\"";
constexpr std::string_view kCsvByPandas =
    "python -c \"import pandas; pandas.read_csv('@').to_json('%.jsonl', orient='records', "
    "lines=True)\"";
constexpr std::string_view kByDatasets =
    "python -c \"import datasets; datasets.Dataset.from_file('@').to_json('%.jsonl')\"";
constexpr std::string_view kFromUtf16 = "iconv -f UTF-16 -t UTF-8 @ > @.utf8 && mv @.utf8 @";
constexpr std::string_view kFromUtf32 = "iconv -f UTF-32 -t UTF-8 @ > @.utf8 && mv @.utf8 @";

// The first row that fits counts.
const std::vector<ForeignFormat> kForeign = {
    {"Parquet", {".parquet"}, "PAR1\x15"sv, kByPandas},
    {"Arrow", {".arrow", ".feather"}, "ARROW1"sv, kByDatasets},
    {"a PDF", {".pdf"}, "%PDF-"sv, "pdftotext @ %.txt"},
    {"a Word document", {".docx", ".doc"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"an OpenDocument text", {".odt"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"an EPUB", {".epub"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"a zip archive", {".zip"}, "PK\x03\x04"sv, "unzip @ -d %.folder"},
    {"a tar archive",
     {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"},
     ""sv,
     "mkdir %.folder && tar -xf @ -C %.folder"},
    {"a 7z archive", {".7z"}, "7z\xBC\xAF\x27\x1C"sv, "7z x @ -o%.folder"},
    {"xz data", {".xz"}, "\xFD\x37zXZ\x00"sv, "xz -dc @ | gzip > %.gz"},
    {"bzip2 data", {".bz2"}, "BZh91AY&SY"sv, "bzip2 -dc @ | gzip > %.gz"},
    {"LZ4 data", {".lz4"}, "\x04\x22\x4D\x18"sv, "lz4 -dc @ | gzip > %.gz"},
    {"gzip data", {}, "\x1F\x8B"sv, "mv @ @.gz"},
    {"zstd data", {}, "\x28\xB5\x2F\xFD"sv, "mv @ @.zst"},
    {"a token file", {}, "FATHOMTK"sv, "mv @ @.tokens"},
    {"a table", {".csv", ".tsv"}, ""sv, kCsvByPandas},
    {"UTF-32", {}, "\xFF\xFE\x00\x00"sv, kFromUtf32},
    {"UTF-32", {}, "\x00\x00\xFE\xFF"sv, kFromUtf32},
    {"UTF-16", {}, "\xFF\xFE"sv, kFromUtf16},
    {"UTF-16", {}, "\xFE\xFF"sv, kFromUtf16},
};

/// UTF-16 without a byte order mark: in most languages, every other byte of some lines is 0.
bool looks_like_utf16(std::string_view head, size_t parity) {
  size_t zeros = 0;
  for (size_t i = 0; i < head.size(); ++i) {
    if (head[i] == 0 && i % 2 != parity) return false;
    zeros += head[i] == 0 ? 1 : 0;
  }
  return head.size() >= 16 && zeros * 5 > head.size() * 2;
}

/// What the first bytes say; "" where they may be a text.
std::string problem_of_text(std::string_view head, const std::filesystem::path& path) {
  for (const ForeignFormat& row : kForeign) {
    if (!row.magic.empty() && head.starts_with(row.magic))
      return cat(" is ", row.name, ", not text in UTF-8; repair it: ", repair_command(row, path));
  }
  for (const size_t parity : {size_t{0}, size_t{1}}) {
    if (looks_like_utf16(head, parity))
      return cat(" is UTF-16 without a byte order mark, not UTF-8; repair it: iconv -f UTF-16",
                 parity == 1 ? "LE" : "BE", " -t UTF-8 ", path.string(), " > ", path.string(),
                 ".utf8 && mv ", path.string(), ".utf8 ", path.string());
  }
  return "";
}

/// What is said of a file whose extension promises a compression that its bytes don't have.
std::string problem_of_packed(std::string_view head, const std::filesystem::path& path,
                              const Compression& packing) {
  if (head.size() < 4 || packing.is_packed(head)) return "";
  const std::string bare = fs::path(path).replace_extension().string();
  const std::string start = cat(" is not valid ", packing.name, " data but ");
  for (const ForeignFormat& row : kForeign) {
    if (row.magic.empty() || !head.starts_with(row.magic)) continue;
    const std::string_view rename = row.fix.substr(row.fix.starts_with("mv @ @") ? 6 : 0);
    return cat(start, row.name, "; repair it: mv ", path.string(), " ", bare,
               rename.starts_with('.') ? rename : "");
  }
  const Utf8Scan scan = scan_utf8(head);
  const bool is_text = scan.bad == 0 || scan.incomplete;
  if (!is_text || head.find('\0') != head.npos) return "";
  return cat(start, "plain text; repair it: mv ", path.string(), " ", bare);
}

class CheckedSource : public ByteSource {
 public:
  CheckedSource(std::unique_ptr<ByteSource> source, const std::filesystem::path& path,
                const Compression* packing)
      : source_(std::move(source)), path_(path), packing_(packing) {}

  size_t read(std::span<std::byte> buffer) override {
    if (!looked_) look();
    if (given_ == head_size_) return source_->read(buffer);
    const size_t n = std::min(buffer.size(), head_size_ - given_);
    std::copy_n(head_.begin() + static_cast<ptrdiff_t>(given_), n, buffer.begin());
    given_ += n;
    return n + source_->read(buffer.subspan(n));
  }
  uint64_t bytes_read() const override { return source_->bytes_read(); }

 private:
  void look() {
    looked_ = true;
    head_size_ = source_->read(head_);
    const std::string_view head(reinterpret_cast<const char*>(head_.data()), head_size_);
    const std::string problem = packing_ == nullptr ? problem_of_text(head, path_)
                                                    : problem_of_packed(head, path_, *packing_);
    if (!problem.empty()) throw DataError(path_.string() + problem);
  }

  std::unique_ptr<ByteSource> source_;
  std::filesystem::path path_;
  const Compression* packing_;
  std::array<std::byte, 64> head_{};
  size_t head_size_ = 0;
  size_t given_ = 0;
  bool looked_ = false;
};

}  // namespace

const ForeignFormat* foreign_by_name(const std::filesystem::path& path) {
  const std::string name = folded_name(path.filename().string());
  const ForeignFormat* best = nullptr;
  size_t longest = 0;
  for (const ForeignFormat& row : kForeign) {
    for (const std::string_view extension : row.extensions) {
      if (!name.ends_with(extension) || extension.size() <= longest) continue;
      best = &row;
      longest = extension.size();
    }
  }
  return best;
}

std::string repair_command(const ForeignFormat& format, const std::filesystem::path& path) {
  const std::string name = folded_name(path.filename().string());
  std::string bare = path.string();
  for (const std::string_view extension : format.extensions) {
    if (name.ends_with(extension))
      bare = path.string().substr(0, path.string().size() - extension.size());
  }
  std::string command;
  for (const char c : format.fix)
    command += c == '@' ? path.string() : c == '%' ? bare : std::string(1, c);
  return command;
}

std::unique_ptr<ByteSource> checked(std::unique_ptr<ByteSource> source,
                                    const std::filesystem::path& path, const Compression* packing) {
  return std::make_unique<CheckedSource>(std::move(source), path, packing);
}

}  // namespace fathom
