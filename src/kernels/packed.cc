#include "fathom/kernels/internal/packed.h"

#include <numeric>

namespace fathom {
namespace {

bool lie_one_after_the_other(const std::vector<torch::Tensor>& parts) {
  int64_t next = parts.front().storage_offset();
  for (const torch::Tensor& part : parts) {
    if (!part.is_contiguous() || !part.is_alias_of(parts.front()) || part.storage_offset() != next)
      return false;
    next += part.numel();
  }
  return true;
}

}  // namespace

std::vector<torch::Tensor> empty_packed(const std::vector<int64_t>& rows, int64_t columns,
                                        const torch::TensorOptions& options) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  return torch::empty({all, columns}, options).split_with_sizes(rows);
}

torch::Tensor packed(const std::vector<torch::Tensor>& parts) {
  const torch::NoGradGuard no_grad;
  if (!lie_one_after_the_other(parts)) return torch::cat(parts);
  int64_t rows = 0;
  for (const torch::Tensor& part : parts) rows += part.size(0);
  const int64_t columns = parts.front().size(1);
  return parts.front().detach().as_strided({rows, columns}, {columns, 1});
}

}  // namespace fathom
