#include "collectives.h"

#include <thread>

#include "fathom/base/error.h"

// LibTorch has Gloo inside, but not the headers that its own header of it includes: Debian's
// libgloo-dev has them. Nothing of that library is linked.
#if __has_include(<gloo/rendezvous/store.h>)
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace fathom {
namespace {

c10::intrusive_ptr<c10d::Backend> connect([[maybe_unused]] const StoreOfGroup& store,
                                          [[maybe_unused]] const GroupOptions& options) {
#ifdef USE_C10D_GLOO
  const auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo->devices.push_back(
      options.interface.empty()
          ? c10d::ProcessGroupGloo::createDeviceForHostname(options.address)
          : c10d::ProcessGroupGloo::createDeviceForInterface(options.interface));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(options.rank),
                                                     static_cast<int>(options.size), gloo);
#else
  throw ConfigError(
      "this train-llm was built without Gloo, which several processes need; install its headers "
      "(Debian: libgloo-dev) and build again");
#endif
}

/// What went wrong, without LibTorch's stack trace.
std::string first_line(const std::exception& error) {
  const std::string what = error.what();
  return what.substr(0, what.find('\n'));
}

}  // namespace

Collectives::Collectives(const StoreOfGroup& store, GroupOptions options)
    : options_(std::move(options)) {
  try {
    backend_ = connect(store, options_);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail(first_line(error));
  }
}

void Collectives::fail(const std::string& what) {
  if (options_.on_failure) options_.on_failure(what);
  throw PeerError(cat("rank ", rank(), ": ", what));
}

template <typename Call>
Collectives::Pending Collectives::start(const Call& call) {
  if (options_.on_begin) options_.on_begin();
  try {
    return call();
  } catch (const std::exception& error) {
    fail(first_line(error));
  }
}

/// Waits on the host, so that a lost peer is noticed here: left to itself, a GPU would wait for it
/// until somebody reads a result, and then without end.
void Collectives::watch(const Pending& pending) {
  constexpr std::chrono::microseconds kNap{50};
  const auto end = std::chrono::steady_clock::now() + options_.timeout;
  while (!pending->isCompleted()) {
    if (std::chrono::steady_clock::now() >= end)
      fail(cat("a sum or copy between GPUs took more than ", options_.timeout.count(), " ms"));
    std::this_thread::sleep_for(kNap);
  }
  // Asked before `wait`, which would first take down the connections, and may hang in that.
  if (const std::exception_ptr error = pending->exception()) std::rethrow_exception(error);
}

void Collectives::wait(const Pending& pending) {
  try {
    if (watched_) watch(pending);
    pending->wait();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail(first_line(error));
  }
}

Collectives::Pending Collectives::start_sum(const torch::Tensor& tensor) {
  std::vector<torch::Tensor> tensors = {tensor};
  return start([&] { return backend_->allreduce(tensors); });
}

void Collectives::max(const torch::Tensor& tensor) {
  std::vector<torch::Tensor> tensors = {tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  wait(start([&] { return backend_->allreduce(tensors, options); }));
}

void Collectives::broadcast(const torch::Tensor& tensor, int64_t from) {
  std::vector<torch::Tensor> tensors = {tensor};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  wait(start([&] { return backend_->broadcast(tensors, options); }));
}

void Collectives::send(const torch::Tensor& tensor, int64_t to) {
  std::vector<torch::Tensor> tensors = {tensor};
  wait(start([&] { return backend_->send(tensors, static_cast<int>(to), /*tag=*/0); }));
}

void Collectives::receive(const torch::Tensor& tensor, int64_t from) {
  std::vector<torch::Tensor> tensors = {tensor};
  wait(start([&] { return backend_->recv(tensors, static_cast<int>(from), /*tag=*/0); }));
}

torch::Tensor Collectives::gather(const torch::Tensor& tensor) {
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape.insert(shape.begin(), size());
  torch::Tensor all = torch::zeros(shape, tensor.options());
  all[rank()].copy_(tensor);
  sum(all);
  return all;
}

}  // namespace fathom
