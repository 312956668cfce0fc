// Gradients that are added up over the ranks while the backward pass still runs.
#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "collectives.h"
#include "fathom/train/optimizer.h"

namespace fathom {

/// Joins gradients to buckets, in the order in which a backward pass makes them, and sums each
/// bucket as soon as it is full. The buckets are a function of the parameters alone, and so is the
/// order of every addition: the same ranks get the same bits, also after a resume. (c10d::Reducer
/// makes other buckets from its second step on.)
class GradientBuckets {
 public:
  /// @param parameters in the order in which the forward pass uses them
  GradientBuckets(const std::vector<torch::Tensor>& parameters, Collectives& collectives,
                  int64_t bucket_bytes);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// The gradients of the next backward pass are summed, with what `.grad` held before.
  void expect();
  /// Waits for the sums: `.grad` of each parameter is one then.
  void finish();

 private:
  struct Bucket {
    std::vector<torch::Tensor> parameters{};
    torch::Tensor sum{};  // of all their gradients, flat
    size_t missing = 0;   // gradients that the backward pass has yet to make
    Collectives::Pending pending{};
  };
  struct Hook {
    std::shared_ptr<torch::autograd::Node> accumulator;
    uintptr_t key;
  };
  void on_gradient(size_t bucket);
  void start(Bucket& bucket);

  Collectives& collectives_;
  std::vector<Bucket> buckets_;
  std::vector<Hook> hooks_;
  size_t next_ = 0;  // bucket to be started: the same order on every rank
  bool expecting_ = false;
};

/// Each parameter as its owner updated it (ZeRO-1).
void broadcast_from_owners(std::span<ParameterState> states, Collectives& collectives,
                           int64_t bucket_bytes);

/// Compares gradients and weights over the ranks, by the sum of their bits.
/// @returns the first parameter that differs, and who has what, in words; "" if none does
std::string find_difference(std::span<ParameterState> states, Collectives& collectives);

}  // namespace fathom
