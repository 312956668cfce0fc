#include "fathom/kernels/choice.h"

#include <atomic>

namespace fathom {
namespace {

std::atomic<Kernels> chosen{Kernels::automatic};

}  // namespace

void set_kernels(Kernels choice) { chosen = choice; }
Kernels kernels() { return chosen; }

bool use_fused(const torch::Device& device) {
  const Kernels choice = kernels();
  return choice == Kernels::fused || (choice == Kernels::automatic && device.is_cpu());
}

}  // namespace fathom
