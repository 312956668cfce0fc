#include "fathom/kernels/attention.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/autograd.h>

#include "fathom/base/error.h"
#include "fathom/base/shape.h"
#include "fathom/kernels/choice.h"
#include "kernels/cpu/attention_tiles.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

AttentionShape shape_of(const torch::Tensor& q, const torch::Tensor& k) {
  return {q.size(0), q.size(1), k.size(1), q.size(2), q.size(3)};
}

HeadRows rows_of(const torch::Tensor& x_BHTC) {
  return {x_BHTC.data_ptr<float>(), {x_BHTC.stride(0), x_BHTC.stride(2), x_BHTC.stride(1)}};
}

torch::Tensor with_dense_channels(const torch::Tensor& x_BHTC) {
  return x_BHTC.stride(3) == 1 ? x_BHTC : x_BHTC.contiguous();
}

/// Calls run(begin, end, scratch) for the heads of keys and values on all threads.
template <typename Run>
void for_each_head(const AttentionShape& shape, const torch::TensorOptions& options,
                   const Run& run) {
  const int64_t numbers = attention_scratch(shape);
  at::parallel_for(0, shape.batch * shape.key_heads, /*grain_size=*/1,
                   [&](int64_t begin, int64_t end) {
                     const torch::Tensor scratch = torch::empty({numbers}, options);
                     run(begin, end, scratch.data_ptr<float>());
                   });
}

/// Columns of [B, T, heads C] as [B, H, T, C].
torch::Tensor heads_at(const torch::Tensor& packed_BTP, int64_t first_head, int64_t heads,
                       int64_t channels) {
  return packed_BTP.narrow(2, first_head * channels, heads * channels)
      .unflatten(2, {heads, channels})
      .transpose(1, 2);
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& q_in,
                               const torch::Tensor& k_in, const torch::Tensor& v_in) {
    const torch::Tensor q = with_dense_channels(q_in), k = with_dense_channels(k_in),
                        v = with_dense_channels(v_in);
    const AttentionShape shape = shape_of(q, k);
    const torch::Tensor out =
        torch::empty({shape.batch, shape.length, shape.heads, shape.channels}, q.options())
            .transpose(1, 2);
    const torch::Tensor log_sum =
        torch::empty({shape.batch, shape.heads, shape.length}, q.options());
    const AttentionForward a{.shape = shape,
                             .query = rows_of(q),
                             .key = rows_of(k),
                             .value = rows_of(v),
                             .out = rows_of(out),
                             .log_sum = log_sum.data_ptr<float>()};
    const AttentionTiles tiles = attention_tiles().front();
    for_each_head(shape, q.options(), [&](int64_t begin, int64_t end, float* scratch) {
      tiles.forward(a, begin, end, scratch);
    });
    context->save_for_backward({q, k, v, out, log_sum});
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    RECORD_USER_SCOPE("attention");
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    const torch::Tensor grad_out = with_dense_channels(grads[0]);
    const AttentionShape shape = shape_of(q, k);
    const int64_t heads = shape.heads, key_heads = shape.key_heads;
    const torch::Tensor grad = torch::empty(
        {shape.batch, shape.length, (heads + 2 * key_heads) * shape.channels}, q.options());
    const torch::Tensor grad_q = heads_at(grad, 0, heads, shape.channels);
    const torch::Tensor grad_k = heads_at(grad, heads, key_heads, shape.channels);
    const torch::Tensor grad_v = heads_at(grad, heads + key_heads, key_heads, shape.channels);
    const AttentionBackward a{.shape = shape,
                              .query = rows_of(q),
                              .key = rows_of(k),
                              .value = rows_of(v),
                              .out = rows_of(out),
                              .log_sum = saved[4].data_ptr<float>(),
                              .grad_out = rows_of(grad_out),
                              .grad_query = rows_of(grad_q),
                              .grad_key = rows_of(grad_k),
                              .grad_value = rows_of(grad_v)};
    const AttentionTiles tiles = attention_tiles().front();
    for_each_head(shape, q.options(), [&](int64_t begin, int64_t end, float* scratch) {
      tiles.backward(a, begin, end, scratch);
    });
    return {grad_q, grad_k, grad_v};
  }
};

bool has_tiles_for(const torch::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == torch::kFloat32 && use_fused(x.device()) &&
         !attention_tiles().empty();
}

}  // namespace

torch::Tensor causal_attention(const torch::Tensor& q_BHTC, const torch::Tensor& k_BHTC,
                               const torch::Tensor& v_BHTC) {
  check_shape("causal_attention", "key", k_BHTC,
              {q_BHTC.size(0), -1, q_BHTC.size(2), q_BHTC.size(3)});
  check_shape("causal_attention", "value", v_BHTC,
              {q_BHTC.size(0), k_BHTC.size(1), q_BHTC.size(2), q_BHTC.size(3)});
  if (q_BHTC.size(1) % k_BHTC.size(1) != 0)
    throw ShapeError(cat("causal_attention: ", q_BHTC.size(1), " heads of queries and ",
                         k_BHTC.size(1), " of keys; ", k_BHTC.size(1), " must divide ",
                         q_BHTC.size(1)));
  RECORD_USER_SCOPE("attention");
  if (has_tiles_for(q_BHTC) && has_tiles_for(k_BHTC) && has_tiles_for(v_BHTC))
    return CausalAttention::apply(q_BHTC, k_BHTC, v_BHTC);
  return at::scaled_dot_product_attention(q_BHTC, k_BHTC, v_BHTC, /*attn_mask=*/std::nullopt,
                                          /*dropout_p=*/0.0, /*is_causal=*/true,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q_BHTC.size(1) != k_BHTC.size(1));
}

}  // namespace fathom
