#include "data/formats/foreign.h"

#include <algorithm>
#include <array>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::string_view kByPandas =
    "python -c \"import sys, pandas; pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], "
    "orient='records', lines=True)\" @ %.jsonl";
constexpr std::string_view kCsvByPandas =
    "python -c \"import sys, pandas; pandas.read_csv(sys.argv[1]).to_json(sys.argv[2], "
    "orient='records', lines=True)\" @ %.jsonl";
constexpr std::string_view kStreamByDatasets =
    "python -c \"import sys, datasets; "
    "datasets.Dataset.from_file(sys.argv[1]).to_json(sys.argv[2])\""
    " @ %.jsonl";
constexpr std::string_view kFileByDatasets =
    "python -c \"import sys, datasets, pyarrow.ipc; datasets.Dataset("
    "pyarrow.ipc.open_file(sys.argv[1]).read_all()).to_json(sys.argv[2])\" @ %.jsonl";
constexpr std::string_view kFromUtf16 = "iconv -f UTF-16 -t UTF-8 @ > @.utf8 && mv @.utf8 @";
constexpr std::string_view kFromUtf32 = "iconv -f UTF-32 -t UTF-8 @ > @.utf8 && mv @.utf8 @";

// The first row that fits counts.
const std::vector<ForeignFormat> kForeign = {
    {"Parquet", {".parquet"}, "PAR1\x15"sv, kByPandas},
    {"an Arrow file", {".arrow", ".feather"}, "ARROW1"sv, kFileByDatasets},
    {"an Arrow stream", {".arrow"}, "\xFF\xFF\xFF\xFF"sv, kStreamByDatasets},
    {"a PDF", {".pdf"}, "%PDF-"sv, "pdftotext @ %.txt"},
    {"a Word document", {".docx", ".doc"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"an OpenDocument text", {".odt"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"an EPUB", {".epub"}, ""sv, "pandoc -t plain @ -o %.txt"},
    {"a zip archive", {".zip"}, "PK\x03\x04"sv, "unzip @ -d %.folder"},
    {"a tar archive",
     {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"},
     "ustar"sv,
     "mkdir %.folder && tar -xf @ -C %.folder",
     257},
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

/// A command for a shell: `pattern` with `path` for each @ and `bare` for each %.
std::string filled_in(std::string_view pattern, const std::string& path, const std::string& bare) {
  std::string command;
  for (const char c : pattern)
    command += c == '@' ? shell_quoted(path) : c == '%' ? shell_quoted(bare) : std::string(1, c);
  return command;
}

bool has_magic(const ForeignFormat& row, std::string_view head) {
  return !row.magic.empty() && head.size() > row.offset &&
         head.substr(row.offset).starts_with(row.magic);
}

const ForeignFormat* foreign_by_magic(std::string_view head) {
  const auto row = std::find_if(kForeign.begin(), kForeign.end(),
                                [&](const auto& each) { return has_magic(each, head); });
  return row == kForeign.end() ? nullptr : &*row;
}

/// UTF-16 without a byte order mark: every other byte is that of an alphabet, and most of those
/// (Latin to Arabic) are below 9.
bool looks_like_utf16(std::string_view head, size_t parity) {
  std::array<size_t, 2> low{};
  for (size_t i = 0; i < head.size(); ++i)
    low[i % 2] += static_cast<unsigned char>(head[i]) < 9 ? 1 : 0;
  return head.size() >= 16 && low[parity] * 5 > head.size() * 2 &&
         low[1 - parity] * 20 <= low[parity];
}

/// Control characters that no text is made of; a few may stand in any.
size_t num_controls(std::string_view head) {
  return static_cast<size_t>(std::count_if(head.begin(), head.end(), [](unsigned char c) {
    return c < 9 || (c >= 0x0E && c < 0x20 && c != 0x1B);  // 0x1B starts a terminal's colour
  }));
}

/// What the first bytes say; "" where they may be a text.
/// @param path of the file that holds them, maybe packed
/// @param packing what it is packed by, or null
std::string problem_of_text(std::string_view head, const std::filesystem::path& path,
                            const Compression* packing) {
  const std::filesystem::path plain =
      packing == nullptr ? path : std::filesystem::path(path).replace_extension();
  const std::string unpack =
      packing == nullptr ? "" : cat(packing->unpack, " ", shell_quoted(path), " && ");
  if (const ForeignFormat* row = foreign_by_magic(head))
    return cat(packing == nullptr ? " is " : " holds ", row->name,
               ", not text in UTF-8; repair it: ", unpack, repair_command(*row, plain));
  for (const size_t parity : {size_t{0}, size_t{1}}) {
    if (looks_like_utf16(head, parity))
      return cat(" is UTF-16 without a byte order mark, not UTF-8; repair it: ", unpack,
                 "iconv -f UTF-16", parity == 1 ? "LE" : "BE",
                 filled_in(" -t UTF-8 @ > @.utf8 && mv @.utf8 @", plain, plain));
  }
  const size_t controls = num_controls(head);
  if (controls >= 4 && controls * 5 > head.size())
    return cat(" isn't text: ", controls, " of its first ", head.size(),
               " bytes are control characters; leave it out, or make text in UTF-8 of it");
  return "";
}

/// What is said of a file whose extension promises a compression that its bytes don't have.
std::string problem_of_packed(std::string_view head, const std::filesystem::path& path,
                              const Compression& packing) {
  if (head.size() < 4 || packing.is_packed(head)) return "";
  const std::string bare = fs::path(path).replace_extension().string();
  const std::string start = cat(" is not valid ", packing.name, " data but ");
  if (const ForeignFormat* row = foreign_by_magic(head)) {
    const std::string_view rename = row->fix.substr(row->fix.starts_with("mv @ @") ? 6 : 0);
    return cat(start, row->name, "; repair it: mv ", shell_quoted(path), " ", shell_quoted(bare),
               rename.starts_with('.') ? rename : "");
  }
  const Utf8Scan scan = scan_utf8(head);
  const bool is_text = scan.bad == 0 || scan.incomplete;
  if (!is_text || head.find('\0') != head.npos) return "";
  return cat(start, "plain text; repair it: mv ", shell_quoted(path), " ", shell_quoted(bare));
}

class CheckedSource : public ByteSource {
 public:
  CheckedSource(std::unique_ptr<ByteSource> source, const std::filesystem::path& path,
                const Compression* packing, Stage stage)
      : source_(std::move(source)), path_(path), packing_(packing), stage_(stage) {}

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
    const std::string problem = stage_ == Stage::text ? problem_of_text(head, path_, packing_)
                                                      : problem_of_packed(head, path_, *packing_);
    if (!problem.empty()) throw DataError(path_.string() + problem);
  }

  std::unique_ptr<ByteSource> source_;
  std::filesystem::path path_;
  const Compression* packing_;
  Stage stage_;
  std::array<std::byte, 512> head_{};
  size_t head_size_ = 0;
  size_t given_ = 0;
  bool looked_ = false;
};

/// The first bytes of a file; "" for one that can't be read.
std::string start_of(const std::filesystem::path& path) {
  try {
    std::string start(64, '\0');
    start.resize(InputFile(path).read(std::as_writable_bytes(std::span(start))));
    return start;
  } catch (const std::exception&) {  // who opens it says why
    return "";
  }
}

}  // namespace

const ForeignFormat* foreign_by_name(const std::filesystem::path& path) {
  const std::string name = folded_name(path.filename().string());
  const ForeignFormat* best = nullptr;
  size_t longest = 0;
  for (const ForeignFormat& row : kForeign) {
    for (const std::string_view extension : row.extensions) {
      if (!name.ends_with(extension) || extension.size() < longest) continue;
      if (extension.size() == longest && !has_magic(row, start_of(path))) continue;
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
  return filled_in(format.fix, path, bare);
}

std::unique_ptr<ByteSource> checked(std::unique_ptr<ByteSource> source,
                                    const std::filesystem::path& path, const Compression* packing,
                                    Stage stage) {
  return std::make_unique<CheckedSource>(std::move(source), path, packing, stage);
}

}  // namespace fathom
