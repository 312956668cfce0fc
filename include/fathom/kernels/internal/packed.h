// Matrices that one GEMM reads as one, though each is a parameter with a name of its own.
#pragma once

#include <torch/types.h>

#include <vector>

namespace fathom {

/// Uninitialized matrices [rows[i], columns], one after the other in one block of memory.
std::vector<torch::Tensor> empty_packed(const std::vector<int64_t>& rows, int64_t columns,
                                        const torch::TensorOptions& options);

/// All rows as one matrix, without history: a view where the parts lie one after the other, else a
/// copy.
/// @param parts matrices of one width and dtype
torch::Tensor packed(const std::vector<torch::Tensor>& parts);

}  // namespace fathom
