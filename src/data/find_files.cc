#include "fathom/data/find_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <regex>
#include <set>
#include <utility>

#include "data/formats/foreign.h"
#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/number.h"
#include "fathom/data/token_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// What describes a data set beside its files: the same names that Hugging Face's datasets leaves
/// out of a folder, and what it saves beside Arrow files.
constexpr std::array<std::string_view, 6> kDescriptions = {
    "README.md",          "config.json",       "dataset_info.json",
    "dataset_infos.json", "dataset_dict.json", "state.json"};

bool has_wildcard(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_readable_format(const DataFile& file) {
  return file.format != nullptr || folded_name(file.path.extension().string()) == ".tokens";
}

[[noreturn]] void fail(const fs::path& path, const std::error_code& error) {
  throw DataError(cat("can't read ", path.string(), ": ", error.message()));
}

DataFile data_file(const fs::path& path, bool named) {
  DataFile file = classify(path);
  std::error_code error;
  file.bytes = fs::file_size(path, error);
  if (error) fail(path, error);
  file.named = named;
  return file;
}

/// What a search comes upon and doesn't take.
class LeftOut {
 public:
  explicit LeftOut(fs::path folder) : folder_(std::move(folder)) {}

  void add(const fs::path& path, const std::string& reason) { reasons_.emplace(path, reason); }

  /// "3 files: notes.docx (a Word document), ..."; "" for none.
  /// @param most that are named
  std::string text(size_t most) const {
    std::string names;
    size_t shown = 0;
    for (const auto& [path, reason] : reasons_) {
      if (shown++ == most) break;
      names += cat(names.empty() ? "" : ", ", path.lexically_relative(folder_).string(), " (",
                   reason, ")");
    }
    if (reasons_.empty()) return "";
    const size_t more = reasons_.size() - std::min(reasons_.size(), most);
    return cat(grouped(static_cast<int64_t>(reasons_.size())),
               reasons_.size() == 1 ? " file: " : " files: ", names,
               more == 0 ? "" : cat(", and ", grouped(static_cast<int64_t>(more)), " more"));
  }

  /// The command that makes text of the first file that there is one for; "" for none.
  std::string repair() const {
    for (const auto& entry : reasons_) {
      const ForeignFormat* foreign = foreign_by_name(entry.first);
      if (foreign != nullptr) return repair_command(*foreign, entry.first);
    }
    return "";
  }

 private:
  fs::path folder_;
  std::map<fs::path, std::string> reasons_;
};

std::string reason_of_unknown(const fs::path& path) {
  const ForeignFormat* foreign = foreign_by_name(path);
  if (foreign != nullptr) return std::string(foreign->name);
  return path.has_extension() ? cat(path.extension().string(), " is no known format")
                              : "no extension";
}

/// Device and inode: the same for all names of a file.
using Identity = std::pair<uint64_t, uint64_t>;

Identity identity_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    fail(path, std::error_code(errno, std::generic_category()));
  return {status.st_dev, status.st_ino};
}

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.push_back(*it);
  if (error) fail(folder, error);
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Visits the regular files below `root`, at most `max_depth` folders down. Links to folders are
/// followed, after all folders themselves, and no folder is entered twice.
/// @param left_out gets what is hidden, or leads nowhere
template <typename Visit>
void walk(const fs::path& root, int max_depth, LeftOut* left_out, const Visit& visit) {
  struct Folder {
    fs::path path;
    int depth;
  };
  std::set<Identity> entered;
  std::deque<Folder> folders = {{root, 0}};
  std::deque<Folder> links;
  const auto leave_out = [&](const fs::path& path, const char* reason) {
    if (left_out != nullptr) left_out->add(path, reason);
  };
  while (!folders.empty() || !links.empty()) {
    std::deque<Folder>& next = folders.empty() ? links : folders;
    const Folder folder = next.front();
    next.pop_front();
    if (!entered.insert(identity_of(folder.path)).second) continue;
    for (const fs::directory_entry& entry : entries_of(folder.path)) {
      std::error_code unknown;  // a broken link is neither
      if (is_hidden(entry.path())) {
        leave_out(entry.path(), "hidden");
      } else if (entry.is_directory(unknown)) {
        if (folder.depth < max_depth)
          (entry.is_symlink() ? links : folders).push_back({entry.path(), folder.depth + 1});
      } else if (entry.is_regular_file(unknown)) {
        visit(entry.path());
      } else {
        leave_out(entry.path(), entry.is_symlink() ? "a link to nothing" : "not a regular file");
      }
    }
  }
}

/// A glob as a regular expression over whole paths.
std::regex glob_expression(std::string_view glob) {
  std::string expression;
  for (size_t i = 0; i < glob.size(); ++i) {
    const char c = glob[i];
    if (glob.substr(i, 3) == "**/") {
      expression += "(?:.*/)?";
      i += 2;
    } else if (glob.substr(i) == "**") {
      expression += ".*";
      break;
    } else if (c == '*') {
      expression += "[^/]*";
    } else if (c == '?') {
      expression += "[^/]";
    } else if (c == '[' || c == ']' || c == '-') {
      expression += c;
    } else if (c == '!' && i > 0 && glob[i - 1] == '[') {
      expression += '^';
    } else {
      if (std::string_view("\\^$.|+(){}").find(c) != std::string_view::npos) expression += '\\';
      expression += c;
    }
  }
  return std::regex(expression, std::regex::optimize);
}

/// Keeps one name of each file, its own before those of links.
std::vector<DataFile> without_repetition(std::vector<DataFile> files, LeftOut& left_out) {
  std::sort(files.begin(), files.end(),
            [](const DataFile& a, const DataFile& b) { return a.path < b.path; });
  std::stable_partition(files.begin(), files.end(),
                        [](const DataFile& file) { return !fs::is_symlink(file.path); });
  std::map<Identity, fs::path> known;
  std::vector<DataFile> once;
  for (DataFile& file : files) {
    const auto [same, is_new] = known.emplace(identity_of(file.path), file.path);
    if (is_new)
      once.push_back(std::move(file));
    else
      left_out.add(file.path, cat("the same file as ", same->second.filename().string()));
  }
  return once;
}

/// @param what names the search in a message: "the folder text"
[[noreturn]] void fail_without_files(const std::string& what, const LeftOut& left_out) {
  const std::string others = left_out.text(/*most=*/4);
  const std::string repair = left_out.repair();
  throw DataError(cat(what, " of a known format (", join(known_extensions(), " "), ")",
                      others.empty() ? "" : "; left out " + others,
                      repair.empty() ? "" : "; repair it: " + repair));
}

std::vector<DataFile> files_of_folder(const fs::path& folder, LeftOut& left_out) {
  std::vector<DataFile> files;
  walk(folder, INT32_MAX, &left_out, [&](const fs::path& path) {
    const std::string name = path.filename().string();
    if (std::find(kDescriptions.begin(), kDescriptions.end(), name) != kDescriptions.end())
      left_out.add(path, "it describes the data");
    else if (!is_readable_format(classify(path)))
      left_out.add(path, reason_of_unknown(path));
    else
      files.push_back(data_file(path, false));
  });
  if (files.empty())
    fail_without_files(cat("the folder ", folder.string(), " has no file"), left_out);
  return without_repetition(std::move(files), left_out);
}

/// The folder before the first wildcard, with the '/': where the search starts.
std::string folder_of_glob(const std::string& glob) {
  const size_t slash = glob.rfind('/', glob.find_first_of("*?["));
  return slash == std::string::npos ? "" : glob.substr(0, slash + 1);
}

std::vector<DataFile> files_of_glob(const std::string& glob, LeftOut& left_out) {
  const std::string folder = folder_of_glob(glob);
  const std::string_view pattern = std::string_view(glob).substr(folder.size());
  const bool any_depth = pattern.find("**") != std::string_view::npos;
  const auto depth = static_cast<int>(std::count(pattern.begin(), pattern.end(), '/'));
  std::vector<DataFile> files;
  try {
    const std::regex expression = glob_expression(pattern);
    const fs::path root = folder.empty() ? "." : folder;
    walk(root, any_depth ? INT32_MAX : depth, nullptr, [&](const fs::path& found) {
      const std::string relative = found.lexically_relative(root).string();
      if (!std::regex_match(relative, expression)) return;
      const fs::path path = fs::path(folder) / relative;
      if (is_readable_format(classify(path)))
        files.push_back(data_file(path, false));
      else
        left_out.add(path, reason_of_unknown(path));
    });
  } catch (const std::regex_error&) {
    throw DataError(cat("'", glob, "' is not a valid glob; allowed: * ? [abc] **"));
  }
  if (files.empty()) fail_without_files(cat("'", glob, "' matches no file"), left_out);
  return without_repetition(std::move(files), left_out);
}

DataFile named_file(const fs::path& path) {
  DataFile file = data_file(path, true);
  if (is_readable_format(file) || is_token_file(path)) return file;
  if (const ForeignFormat* foreign = foreign_by_name(path))
    throw DataError(
        cat(path.string(), " is ", foreign->name,
            ", which Fathom doesn't read; repair it: ", repair_command(*foreign, path)));
  const std::string bare =
      file.compression == nullptr ? path.string() : fs::path(path).replace_extension().string();
  if (file.compression != nullptr && classify(bare).compression != nullptr)
    throw DataError(cat(path.string(), " is packed twice; repair it: ", file.compression->unpack,
                        " ", shell_quoted(path)));
  const std::string packing = path.string().substr(bare.size());
  throw DataError(cat(path.string(), " has no known extension; allowed: ",
                      join(known_extensions(), " "), "; if it is text, name it ", bare, ".txt",
                      packing, ", if JSON lines, ", bare, ".jsonl", packing));
}

}  // namespace

std::vector<DataFile> find_files(const std::vector<std::string>& patterns, const Log* log) {
  std::vector<DataFile> files;
  for (const std::string& pattern : patterns) {
    std::error_code error;
    const fs::file_status status = fs::status(pattern, error);
    const bool is_folder = fs::is_directory(status);
    LeftOut left_out(is_folder ? pattern : folder_of_glob(pattern));
    std::vector<DataFile> found;
    if (is_folder) {
      found = files_of_folder(pattern, left_out);
    } else if (fs::is_regular_file(status)) {
      found = {named_file(pattern)};
    } else if (fs::exists(status)) {
      throw DataError(cat(pattern, " is neither a file nor a folder"));
    } else if (has_wildcard(pattern)) {
      found = files_of_glob(pattern, left_out);
    } else {
      throw DataError(cat("can't find ", pattern, ": ",
                          error ? error.message() : "No such file or directory",
                          "; name files, folders or globs (*, ?, [abc], **)"));
    }
    if (const std::string others = left_out.text(/*most=*/500); log != nullptr && !others.empty())
      log->warn(cat(pattern, ": left out ", others, "; a file that is named itself is read"));
    std::sort(found.begin(), found.end(),
              [](const DataFile& a, const DataFile& b) { return a.path < b.path; });
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace fathom
