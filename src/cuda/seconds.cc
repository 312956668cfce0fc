#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <array>

#include "cuda/parts.h"

namespace fathom {

double device_seconds(const std::function<void()>& work) {
  constexpr double kMillisecond = 1e-3;
  work();
  std::array<double, 5> times{};
  for (double& time : times) {
    at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);  // the default has no times
    begin.record();
    work();
    end.record();
    end.synchronize();
    time = begin.elapsed_time(end) * kMillisecond;
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace fathom
