#include "head.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/ignored_target.h"
#include "kernels/dispatch.h"
#include "loops.h"

namespace fathom {
namespace {

/// Rows of a thread: a tile's are 1 MiB. Fewer where many threads have logits at once.
int64_t rows_of_thread() { return std::clamp<int64_t>(2048 / at::get_num_threads(), 16, 256); }

int64_t tiles_of(int64_t vocabulary) { return (vocabulary + kTileColumns - 1) / kTileColumns; }

/// sums += a b, or sums = a b.
void multiply(const torch::Tensor& a, const torch::Tensor& b, bool add, torch::Tensor& sums) {
  if (a.scalar_type() != sums.scalar_type()) {
    const torch::Tensor product = at::mm(a, b);
    add ? sums.add_(product) : sums.copy_(product);
  } else if (add) {
    sums.addmm_(a, b);
  } else {
    at::mm_out(sums, a, b);
  }
}

class Head {
 public:
  Head(const torch::Tensor& hidden, const torch::Tensor& weight, const torch::Tensor& target,
       double scale, double z_loss, bool needs_gradient)
      : hidden_(hidden.contiguous()),
        weight_(weight.contiguous()),
        target_(target),
        scale_(static_cast<float>(scale)),
        z_loss_(static_cast<float>(z_loss)),
        needs_gradient_(needs_gradient) {
    check_targets();
    const int64_t rows = std::min(cpu_head_rows(), hidden.size(0)), dim = hidden.size(1);
    const auto wide = hidden.options().dtype(torch::kFloat32);
    logits_ = torch::empty({tiles_of(weight.size(0)), rows, kTileStride}, hidden.options());
    of_rows_ = torch::empty({3, rows}, wide);
    losses_ = torch::empty({hidden.size(0)}, wide);
    if (!needs_gradient) return;
    sums_ = torch::empty({rows, dim}, wide);
    scaled_hidden_ = torch::empty({rows, dim}, hidden.options());
    grad_hidden_ = torch::empty_like(hidden_);
    grad_weight_ = torch::zeros(weight.sizes(), wide);
  }

  HeadLoss run() {
    const int64_t rows = hidden_.size(0), chunk = logits_.size(1);
    for (int64_t begin = 0; begin < rows; begin += chunk)
      run_chunk(begin, std::min(chunk, rows - begin));
    return {losses_.sum(), grad_hidden_, grad_weight_};
  }

 private:
  void check_targets() const {
    const int64_t* target = target_.data_ptr<int64_t>();
    for (int64_t i = 0; i < target_.numel(); ++i) {
      if (target[i] < 0 || target[i] >= weight_.size(0))
        throw std::out_of_range(cat("linear_cross_entropy: target ", target[i], "; allowed: 0 to ",
                                    weight_.size(0) - 1, ", or ", kIgnoredTarget, " for none"));
    }
  }

  /// Rows [first, first + count) of hidden are rows [0, count) of the buffers.
  void run_chunk(int64_t first, int64_t count) {
    const int64_t blocks = std::min<int64_t>(at::get_num_threads(), count);
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView without_autograd;
      for (int64_t block = begin; block < end; ++block) {
        const int64_t from = count * block / blocks;
        run_block(first, from, count * (block + 1) / blocks - from);
      }
    });
    if (!needs_gradient_) return;
    const torch::Tensor scaled = scaled_hidden_.narrow(0, 0, count);
    at::parallel_for(0, logits_.size(0), 1, [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView without_autograd;
      for (int64_t tile = begin; tile < end; ++tile) {
        torch::Tensor part = columns(grad_weight_, tile);
        multiply(logits(tile, 0, count).t(), scaled, /*add=*/true, part);
      }
    });
  }

  /// The rows of a weight that are a tile's columns.
  static torch::Tensor columns(const torch::Tensor& weight_VD, int64_t tile) {
    const int64_t begin = tile * kTileColumns;
    return weight_VD.narrow(0, begin, std::min(kTileColumns, weight_VD.size(0) - begin));
  }

  /// Rows [from, from + count) of a tile.
  torch::Tensor logits(int64_t tile, int64_t from, int64_t count) const {
    const int64_t size = std::min(kTileColumns, weight_.size(0) - tile * kTileColumns);
    return logits_.select(0, tile).narrow(0, from, count).narrow(1, 0, size);
  }

  /// Rows [from, from + count) of the chunk that begins with row `first` of hidden.
  void run_block(int64_t first, int64_t from, int64_t count) {
    const torch::Tensor hidden = hidden_.narrow(0, first + from, count);
    torch::Tensor sums = needs_gradient_ ? sums_.narrow(0, from, count) : torch::Tensor();
    const SoftmaxBlock block{.rows = count,
                             .dim = hidden.size(1),
                             .vocabulary = weight_.size(0),
                             .type = number_type(hidden),
                             .logits = logits(0, from, count).data_ptr(),
                             .from_tile_to_tile = logits_.stride(0),
                             .target = target_.data_ptr<int64_t>() + first + from,
                             .reference = of_rows_.data_ptr<float>() + from,
                             .sum = of_rows_[1].data_ptr<float>() + from,
                             .of_target = of_rows_[2].data_ptr<float>() + from,
                             .grad_hidden = needs_gradient_ ? sums.data_ptr<float>() : nullptr};
    for (int64_t tile = 0; tile < logits_.size(0); ++tile) {
      torch::Tensor part = logits(tile, from, count);
      const torch::Tensor weight = columns(weight_, tile);
      at::mm_out(part, hidden, weight.t());
      softmax_tile(block, tile);
      if (needs_gradient_) multiply(part, weight, tile > 0, sums);
    }
    const auto row = [&](const torch::Tensor& t, int64_t i) {
      return t.defined() ? t.narrow(0, i, count).data_ptr() : nullptr;
    };
    softmax_finish(block, {.scale = scale_,
                           .z_loss = z_loss_,
                           .loss = losses_.data_ptr<float>() + first + from,
                           .hidden = hidden.data_ptr(),
                           .weight = weight_.data_ptr(),
                           .grad_hidden = row(grad_hidden_, first + from),
                           .scaled_hidden = row(scaled_hidden_, from)});
  }

  torch::Tensor hidden_, weight_, target_;
  float scale_, z_loss_;
  bool needs_gradient_;
  torch::Tensor logits_, of_rows_, sums_, scaled_hidden_;  // of a chunk
  torch::Tensor losses_, grad_hidden_, grad_weight_;
};

}  // namespace

int64_t cpu_head_rows() { return rows_of_thread() * at::get_num_threads(); }

HeadLoss cpu_head_loss(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                       const torch::Tensor& target_N, double scale, double z_loss,
                       bool needs_gradient) {
  return Head(hidden_ND, weight_VD, target_N, scale, z_loss, needs_gradient).run();
}

}  // namespace fathom
