#include "fathom/kernels/cuda_library.h"

#include <dlfcn.h>
#include <torch/version.h>

#include <array>
#include <filesystem>

#include "dispatch.h"
#include "fathom/base/error.h"
#include "fathom/version.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "libfathom_cuda.so";
constexpr const char* kVersion = FATHOM_VERSION " with LibTorch " TORCH_VERSION;

/// Its path, or its name alone: then the system looks for it.
std::string find() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  // An installed program's, a built program's, and a built test's.
  for (const char* relative : std::to_array<const char*>({FATHOM_LIBRARY_FOLDER, "", ".."})) {
    const fs::path path = folder / relative / kName;
    if (fs::exists(path, error)) return path.lexically_normal().string();
  }
  return kName;
}

LoadedCudaLibrary load() {
  const std::string path = find();
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {nullptr, cat(kName, " can't be loaded (", ::dlerror(), ")")};
  using Entry = const CudaLibrary* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(handle, kCudaLibraryEntry));
  if (entry == nullptr) return {nullptr, cat(path, " isn't Fathom's: it has no fathom_cuda()")};
  const CudaLibrary* library = entry();
  if (library->version != std::string_view(kVersion))
    return {nullptr, cat(path, " is of Fathom ", library->version, ", and this program of ",
                         kVersion, ": build both together")};
  set_row_kernels(torch::kCUDA, library->row_kernels);
  return {library};
}

}  // namespace

const LoadedCudaLibrary& cuda_library() {
  static const LoadedCudaLibrary loaded = load();
  return loaded;
}

}  // namespace fathom
