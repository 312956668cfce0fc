#include "gradients.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using torch::autograd::variable_list;

/// Runs of tensors, in their order, of one dtype and at most `max_bytes` (or one tensor).
std::vector<std::vector<torch::Tensor>> group(const std::vector<torch::Tensor>& tensors,
                                              int64_t max_bytes) {
  std::vector<std::vector<torch::Tensor>> groups;
  int64_t bytes = 0;
  for (const torch::Tensor& tensor : tensors) {
    const auto size = static_cast<int64_t>(tensor.nbytes());
    const bool fits = !groups.empty() && bytes + size <= max_bytes &&
                      groups.back().back().scalar_type() == tensor.scalar_type();
    if (!fits) {
      groups.emplace_back();
      bytes = 0;
    }
    groups.back().push_back(tensor);
    bytes += size;
  }
  return groups;
}

torch::Tensor flatten(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : tensors) flat.push_back(tensor.detach().reshape(-1));
  return at::cat(flat);
}

/// The parts of a flat tensor, in the shapes of others.
std::vector<torch::Tensor> parts_like(const torch::Tensor& flat,
                                      const std::vector<torch::Tensor>& others) {
  std::vector<torch::Tensor> parts;
  int64_t begin = 0;
  for (const torch::Tensor& other : others) {
    parts.push_back(flat.narrow(0, begin, other.numel()).view_as(other));
    begin += other.numel();
  }
  return parts;
}

torch::Tensor sum_of_bits(const torch::Tensor& tensor) {
  const auto whole = tensor.element_size() == 8   ? torch::kInt64
                     : tensor.element_size() == 4 ? torch::kInt32
                                                  : torch::kInt16;
  return tensor.detach().contiguous().view(whole).sum(torch::kInt64);
}

/// "the gradient of 'x' differs between ranks 0 and 1", or who is alone, from each rank's checksum.
std::string describe(const std::string& what, const torch::Tensor& sums) {
  std::vector<std::string> all, minority;
  for (int64_t rank = 0; rank < sums.size(0); ++rank) {
    const bool in_majority = 2 * sums.eq(sums[rank]).sum().item<int64_t>() > sums.size(0);
    all.push_back(cat(rank));
    if (!in_majority) minority.push_back(cat(rank));
  }
  if (minority.size() == all.size())
    return cat(what, " differs between ranks ", join(all, " and "));
  return cat(what, " of rank ", join(minority), " is not what the other ranks have");
}

}  // namespace

GradientBuckets::GradientBuckets(const std::vector<torch::Tensor>& parameters,
                                 Collectives& collectives, int64_t bucket_bytes)
    : collectives_(collectives) {
  for (auto& members : group({parameters.rbegin(), parameters.rend()}, bucket_bytes)) {
    const size_t index = buckets_.size();
    for (const torch::Tensor& parameter : members) {
      auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
      auto hook = std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [this, index](const variable_list& outputs, const variable_list&) {
            on_gradient(index);
            return outputs;
          });
      const uintptr_t key = accumulator->add_post_hook(std::move(hook));
      hooks_.push_back({std::move(accumulator), key});
    }
    buckets_.push_back({.parameters = std::move(members)});
  }
}

GradientBuckets::~GradientBuckets() {
  for (const Hook& hook : hooks_) hook.accumulator->del_post_hook(hook.key);
}

void GradientBuckets::expect() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
  next_ = 0;
  expecting_ = true;
}

void GradientBuckets::on_gradient(size_t index) {
  if (!expecting_) return;
  if (buckets_[index].missing-- == 0) throw std::logic_error("a gradient came twice in one pass");
  while (next_ < buckets_.size() && buckets_[next_].missing == 0) start(buckets_[next_++]);
}

void GradientBuckets::start(Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : bucket.parameters) gradients.push_back(parameter.grad());
  bucket.sum = flatten(gradients);
  const std::vector<torch::Tensor> parts = parts_like(bucket.sum, gradients);
  // The gradients live in the bucket from now on: no second copy, and none back.
  for (size_t i = 0; i < parts.size(); ++i) bucket.parameters[i].mutable_grad() = parts[i];
  bucket.pending = collectives_.start_sum(bucket.sum);
}

void GradientBuckets::finish() {
  expecting_ = false;
  if (next_ != buckets_.size()) throw std::logic_error("a parameter got no gradient");
  for (Bucket& bucket : buckets_) {
    collectives_.wait(bucket.pending);
    bucket.pending.reset();
    bucket.sum = torch::Tensor();
  }
}

void broadcast_from_owners(std::span<ParameterState> states, Collectives& collectives,
                           int64_t bucket_bytes) {
  const torch::NoGradGuard no_grad;
  for (int64_t owner = 0; owner < collectives.size(); ++owner) {
    std::vector<torch::Tensor> owned;
    for (const ParameterState& state : states) {
      if (state.owner == owner) owned.push_back(state.parameter.detach());
    }
    for (std::vector<torch::Tensor>& members : group(owned, bucket_bytes)) {
      const torch::Tensor flat = flatten(members);
      collectives.broadcast(flat, owner);
      if (owner == collectives.rank()) continue;
      const std::vector<torch::Tensor> parts = parts_like(flat, members);
      for (size_t i = 0; i < parts.size(); ++i) members[i].copy_(parts[i]);
    }
  }
}

std::string find_difference(std::span<ParameterState> states, Collectives& collectives) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> sums;
  for (const ParameterState& state : states) {
    sums.push_back(sum_of_bits(state.parameter));
    sums.push_back(sum_of_bits(state.parameter.grad()));
  }
  const torch::Tensor all = collectives.gather(at::stack(sums).cpu());  // [ranks, 2 parameters]
  const torch::Tensor differs = all.ne(all[0]).any(0);
  for (int64_t i = 0; i < differs.size(0); ++i) {
    if (!differs[i].item<bool>()) continue;
    const std::string name = cat("'", states[static_cast<size_t>(i / 2)].name, "'");
    return describe(i % 2 == 0 ? name : "the gradient of " + name, all.select(1, i));
  }
  return "";
}

}  // namespace fathom
