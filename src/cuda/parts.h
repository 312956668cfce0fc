// The functions of the table that libfathom_cuda.so exports.
#pragma once

#include "fathom/kernels/cuda_library.h"

namespace fathom {

std::unique_ptr<StepGraph> make_step_graph(int device);
c10::intrusive_ptr<c10d::Backend> connect_nccl(const NcclOptions& options);
double device_seconds(const std::function<void()>& work);

}  // namespace fathom
