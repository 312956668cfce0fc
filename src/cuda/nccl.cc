#define USE_C10D_NCCL
#include <c10/util/env.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "cuda/parts.h"

namespace fathom {

c10::intrusive_ptr<c10d::Backend> connect_nccl(const NcclOptions& options) {
  // Its own watchdog would end the process, with another message than ours and before ours; these
  // variables are the only way to do without.
  c10::utils::set_env("TORCH_NCCL_BLOCKING_WAIT", "1");  // no watchdog thread
  c10::utils::set_env("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0");
  c10::utils::set_env("TORCH_NCCL_ENABLE_MONITORING", "0");
  const auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = 2 * options.timeout;  // whoever waits gives up earlier
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(options.store, options.rank, options.size,
                                                     nccl);
}

}  // namespace fathom
