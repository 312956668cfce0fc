// Where output goes: links are followed before anything is written, and what a killed process left
// half-written is removed by the next one.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace fathom {

/// Where output to `path` really goes: every link on the way followed, names that don't exist yet
/// kept. A link in a folder that everyone may write is followed only if it is this user's or
/// root's; anybody else could have laid it there to have this user's files overwritten.
/// @throws DiskError for a link that leads nowhere, in circles, or that is another user's
std::filesystem::path resolve_output(const std::filesystem::path& path);

/// "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

/// Eight random hexadecimal digits.
std::string random_suffix();

/// PATH.tmp-<random>: what becomes PATH when it is complete.
std::filesystem::path temporary_name(const std::filesystem::path& path);

/// Marks an open temporary file or folder as in use until its descriptor is closed, which the
/// kernel does at the latest when the process ends. @returns whether it is still there
bool hold_temporary(int descriptor);

/// Removes the temporary files and folders that killed processes left in `folder`: those that
/// nobody holds. What can't be looked at or removed stays.
/// @param is_ours by the name that they would have got
void remove_temporaries(const std::filesystem::path& folder,
                        const std::function<bool(std::string_view name)>& is_ours);

}  // namespace fathom
