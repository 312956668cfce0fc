#include "recompute.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FunctionHolder : torch::CustomClassHolder {
  explicit FunctionHolder(TensorFunction f) : function(std::move(f)) {}
  TensorFunction function;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static torch::Tensor forward(AutogradContext* context, const TensorFunction& function,
                               const torch::Tensor& x) {
    context->save_for_backward({x});
    context->saved_data["function"] =
        c10::IValue::make_capsule(c10::make_intrusive<FunctionHolder>(function));
    return function(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto holder = c10::static_intrusive_pointer_cast<FunctionHolder>(
        context->saved_data["function"].toCapsule());
    torch::Tensor x = context->get_saved_variables()[0].detach();
    x.set_requires_grad(true);
    torch::Tensor y;
    {
      const torch::AutoGradMode with_gradients(true);
      y = holder->function(x);
    }
    torch::autograd::backward({y}, {grads[0]});
    return {torch::Tensor(), x.grad()};
  }
};

}  // namespace

torch::Tensor recompute_in_backward(const TensorFunction& function, const torch::Tensor& x) {
  return Recompute::apply(function, x);
}

}  // namespace fathom
