#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "cuda/parts.h"

namespace fathom {
namespace {

/// What is queued on `later` from now on waits for what `earlier` has queued.
void order(const c10::cuda::CUDAStream& earlier, const c10::cuda::CUDAStream& later) {
  at::cuda::CUDAEvent event;
  event.record(earlier);
  event.block(later);
}

class CudaStepGraph : public StepGraph {
 public:
  explicit CudaStepGraph(int device)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false,
                                             static_cast<c10::DeviceIndex>(device))) {}

  void run(const std::function<void()>& work) override {
    const c10::cuda::CUDAStream caller = c10::cuda::getCurrentCUDAStream(stream_.device_index());
    order(caller, stream_);
    {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      work();
    }
    order(stream_, caller);
  }

  void record(const std::function<void()>& work) override {
    stream_.synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();  // nothing cached is given back while recording
    graph_.capture_begin();
    try {
      work();
    } catch (...) {
      end_failed_capture();
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  /// The stream stays unusable until its capture ends, which fails too.
  void end_failed_capture() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {
    }
  }

  c10::cuda::CUDAStream stream_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<StepGraph> make_step_graph(int device) {
  return std::make_unique<CudaStepGraph>(device);
}

}  // namespace fathom
