// Paths, folders and globs to a list of files.
#include <algorithm>
#include <regex>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/data/token_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

bool has_wildcard(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_readable_format(const DataFile& file) {
  return file.format != nullptr || file.path.extension() == ".tokens";
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

/// Visits all regular files below `folder`, hidden names left out, at most `max_depth` folders
/// down.
template <typename Visit>
void walk(const fs::path& folder, int max_depth, const Visit& visit) {
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code unknown;  // a broken link is neither
    const bool hidden = is_hidden(it->path());
    if (it->is_directory(unknown)) {
      if (hidden || it.depth() >= max_depth) it.disable_recursion_pending();
    } else if (!hidden && it->is_regular_file(unknown)) {
      visit(it->path());
    }
  }
  if (error) fail(folder, error);
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

std::vector<DataFile> files_of_folder(const fs::path& folder) {
  std::vector<DataFile> files;
  walk(folder, INT32_MAX, [&](const fs::path& path) {
    if (is_readable_format(classify(path))) files.push_back(data_file(path, false));
  });
  if (files.empty())
    throw DataError(cat("the folder ", folder.string(), " has no file of a known format (",
                        join(known_extensions(), " "), ")"));
  return files;
}

std::vector<DataFile> files_of_glob(const std::string& glob) {
  // The folder before the first wildcard is where the search starts.
  const size_t slash = glob.rfind('/', glob.find_first_of("*?["));
  const std::string folder = slash == std::string::npos ? "" : glob.substr(0, slash + 1);
  const std::string_view pattern = std::string_view(glob).substr(folder.size());
  const bool any_depth = pattern.find("**") != std::string_view::npos;
  const auto depth = static_cast<int>(std::count(pattern.begin(), pattern.end(), '/'));
  std::vector<DataFile> files;
  try {
    const std::regex expression = glob_expression(pattern);
    const fs::path root = folder.empty() ? "." : folder;
    walk(root, any_depth ? INT32_MAX : depth, [&](const fs::path& path) {
      const std::string relative = path.lexically_relative(root).string();
      if (std::regex_match(relative, expression) && is_readable_format(classify(path)))
        files.push_back(data_file(fs::path(folder) / relative, false));
    });
  } catch (const std::regex_error&) {
    throw DataError(cat("'", glob, "' is not a valid glob; allowed: * ? [abc] **"));
  }
  if (files.empty())
    throw DataError(cat("'", glob, "' matches no file of a known format (",
                        join(known_extensions(), " "), ")"));
  return files;
}

DataFile named_file(const fs::path& path) {
  DataFile file = data_file(path, true);
  if (!is_readable_format(file) && !is_token_file(path))
    throw DataError(
        cat(path.string(), " has no known extension; allowed: ", join(known_extensions(), " ")));
  return file;
}

}  // namespace

std::vector<DataFile> find_files(const std::vector<std::string>& patterns) {
  std::vector<DataFile> files;
  for (const std::string& pattern : patterns) {
    std::error_code error;
    const fs::file_status status = fs::status(pattern, error);
    std::vector<DataFile> found;
    if (fs::is_directory(status)) {
      found = files_of_folder(pattern);
    } else if (fs::is_regular_file(status)) {
      found = {named_file(pattern)};
    } else if (fs::exists(status)) {
      throw DataError(cat(pattern, " is neither a file nor a folder"));
    } else if (has_wildcard(pattern)) {
      found = files_of_glob(pattern);
    } else {
      throw DataError(
          cat("can't find ", pattern, ": ", error ? error.message() : "No such file or directory"));
    }
    std::sort(found.begin(), found.end(),
              [](const DataFile& a, const DataFile& b) { return a.path < b.path; });
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace fathom
