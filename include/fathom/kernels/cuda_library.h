// The part of Fathom that links CUDA's libraries: libfathom_cuda.so. It is loaded when a run asks
// for a GPU, so that other runs start fast, and offers what is in this table.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace fathom {

struct RowKernels;

/// Work on a GPU that is recorded once and replayed with whatever its memory holds then.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  /// Does work on the stream that is recorded; what was queued before comes first, and what is
  /// queued after it comes last.
  virtual void run(const std::function<void()>& work) = 0;
  /// Within `run`: records what `work` queues, without doing it.
  virtual void record(const std::function<void()>& work) = 0;
  /// Within `run`: does what was recorded.
  virtual void replay() = 0;
};

/// A rank of several processes on GPUs.
struct NcclOptions {
  c10::intrusive_ptr<c10d::Store> store;
  int rank, size;
  std::chrono::milliseconds timeout;
};

/// What libfathom_cuda.so exports. Nothing in it has ever run on a GPU.
struct CudaLibrary {
  const char* version;            ///< Fathom's and LibTorch's that it was built with
  const RowKernels* row_kernels;  ///< Fathom's own kernels; null if it was built without nvcc
  std::unique_ptr<StepGraph> (*make_graph)(int device);
  /// Whoever waits for its work asks `isCompleted` first: it ends no process by itself.
  c10::intrusive_ptr<c10d::Backend> (*connect_nccl)(const NcclOptions&);
  /// Seconds that work takes on the current GPU: the median of some repetitions after a first one.
  double (*seconds)(const std::function<void()>& work);
};

/// The name of its one exported function, which returns a `const CudaLibrary*`.
inline constexpr const char* kCudaLibraryEntry = "fathom_cuda";

/// The library, or why there is none.
struct LoadedCudaLibrary {
  const CudaLibrary* library = nullptr;
  std::string problem{};  ///< "libfathom_cuda.so wasn't found ...", or ""
};

/// Loads libfathom_cuda.so at the first call: from the folder of the program, the library folder
/// beside it, the folder above, or where the system looks. Loads LibTorch's CUDA libraries with it,
/// and gives its kernels to the functions of this folder.
const LoadedCudaLibrary& cuda_library();

}  // namespace fathom
