// Sums and copies between ranks: through Gloo, or another of LibTorch's backends.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace fathom {

using StoreOfGroup = c10::intrusive_ptr<c10d::Store>;

/// What a rank of a group is, and how it talks to the others.
struct GroupOptions {
  int64_t rank = 0;
  int64_t size = 1;
  std::chrono::milliseconds timeout{0};
  std::string address = "127.0.0.1";    ///< that this rank listens on
  std::string interface = {};           ///< instead of `address`
  std::function<void()> on_begin = {};  ///< before each collective
  /// When one failed; if it returns, a PeerError is thrown.
  std::function<void(const std::string&)> on_failure = {};
};

/// One whose work goes on while the host does, such as NCCL's.
struct AsynchronousBackend {
  c10::intrusive_ptr<c10d::Backend> backend;
};

/// Every rank calls the same functions in the same order, with tensors of the same shapes, on the
/// backend's device and contiguous. Each sum has the same bits on every rank; on the CPU also in
/// every run.
class Collectives {
 public:
  using Pending = c10::intrusive_ptr<c10d::Work>;

  /// Through Gloo, on the CPU. @throws ConfigError if this build has no Gloo
  Collectives(const StoreOfGroup& store, GroupOptions options);
  /// Through a backend on other devices. Waiting for its work ends after the timeout, whatever the
  /// backend does.
  Collectives(AsynchronousBackend asynchronous, GroupOptions options)
      : options_(std::move(options)), backend_(std::move(asynchronous.backend)), watched_(true) {}

  int64_t rank() const { return options_.rank; }
  int64_t size() const { return options_.size; }

  /// Begins to replace `tensor` by its sum over the ranks.
  Pending start_sum(const torch::Tensor& tensor);
  void wait(const Pending& pending);
  void sum(const torch::Tensor& tensor) { wait(start_sum(tensor)); }
  void max(const torch::Tensor& tensor);
  /// Replaces `tensor` by that of rank `from`.
  void broadcast(const torch::Tensor& tensor, int64_t from);
  void send(const torch::Tensor& tensor, int64_t to);
  void receive(const torch::Tensor& tensor, int64_t from);
  /// [size, ...]: each rank's tensor.
  torch::Tensor gather(const torch::Tensor& tensor);
  /// Leaves the connections to the end of the process: closing them would wait for the others.
  void abandon() { static_cast<void>(backend_.release()); }

 private:
  template <typename Call>
  Pending start(const Call& call);
  void watch(const Pending& pending);
  [[noreturn]] void fail(const std::string& what);

  GroupOptions options_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  bool watched_ = false;
};

}  // namespace fathom
