#include "variance.h"

#include <vector>

#include "fathom/base/ignored_target.h"

namespace fathom::probe {
namespace {

class Variance : public Probe {
 public:
  void observe(Llama& model, const BatchTensors& rows) override {
    const torch::NoGradGuard no_grad;
    std::vector<BlockTrace> trace;
    model->hidden(rows.input_BT, {.document_BT = rows.document_BT, .trace = &trace});
    const torch::Tensor counted_BT = rows.target_BT.ne(kIgnoredTarget).to(torch::kFloat64);
    std::vector<torch::Tensor> sums;
    for (const BlockTrace& block : trace) {
      const torch::Tensor output_BTD = block.feed_forward.output.to(torch::kFloat32);
      sums.push_back((output_BTD.var(/*dim=*/-1, /*unbiased=*/false) * counted_BT).sum());
    }
    const torch::Tensor sum_L = at::stack(sums), count = counted_BT.sum();
    sum_L_ = sum_L_.defined() ? sum_L_ + sum_L : sum_L;
    count_ = count_.defined() ? count_ + count : count;
  }

  torch::Tensor result() const override { return sum_L_ / count_; }

 private:
  torch::Tensor sum_L_, count_;
};

}  // namespace

std::unique_ptr<Probe> variance() { return std::make_unique<Variance>(); }

}  // namespace fathom::probe
