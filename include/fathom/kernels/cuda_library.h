// The part of Fathom that links CUDA's libraries: libfathom_cuda.so. It is loaded when a run asks
// for a GPU, so that other runs start fast, and offers what is in this table.
#pragma once

#include <string>

namespace fathom {

struct RowKernels;

/// What libfathom_cuda.so exports. Nothing in it has ever run on a GPU.
struct CudaLibrary {
  const char* version;            ///< Fathom's and LibTorch's that it was built with
  const RowKernels* row_kernels;  ///< Fathom's own kernels; null if it was built without nvcc
};

/// The name of its one exported function, which returns a `const CudaLibrary*`.
inline constexpr const char* kCudaLibraryEntry = "fathom_cuda";

/// The library, or why there is none.
struct LoadedCudaLibrary {
  const CudaLibrary* library = nullptr;
  std::string problem{};  ///< "libfathom_cuda.so wasn't found ...", or ""
};

/// Loads libfathom_cuda.so at the first call: from the folder of the program, the library folder
/// beside it, the folder above, or where the system looks. Loads LibTorch's CUDA libraries with it.
const LoadedCudaLibrary& cuda_library();

}  // namespace fathom
