#include "fathom/runtime/part_timer.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string_view>

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

struct PartRow {
  std::string_view name;  // of the operation, or how it begins
  std::string_view part;
};

// What a part calls belongs to it: a GEMM of the head is no projection. Only scopes of our own are
// told apart there.
constexpr std::array kParts = {
    PartRow{"linear_cross_entropy", "head"},
    PartRow{"softmax", "softmax"},
    PartRow{"rms_norm", "norm"},
    PartRow{"rope", "rope"},
    PartRow{"swiglu", "swiglu"},
    PartRow{"optimizer", "optimizer"},
    PartRow{"attention", "attention"},
    PartRow{"aten::scaled_dot_product", "attention"},
    PartRow{"aten::_scaled_dot_product", "attention"},
    PartRow{"aten::embedding", "embedding"},
    PartRow{"aten::mm", "projections"},
    PartRow{"aten::addmm", "projections"},
    PartRow{"aten::linear", "projections"},
};

const PartRow* row_of(std::string_view name) {
  const auto* row = std::find_if(kParts.begin(), kParts.end(),
                                 [&](const PartRow& r) { return name.starts_with(r.name); });
  return row == kParts.end() ? nullptr : row;
}

}  // namespace

struct PartTimer::Record {
  struct Frame {
    const PartRow* row;
    Clock::time_point start;
    Clock::duration inside{};  // of the frames it called
  };
  std::vector<Frame> stack;
  std::map<std::string_view, Clock::duration> own;
  Clock::time_point since = Clock::now();
};

namespace {

thread_local PartTimer::Record* active = nullptr;

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  if (active == nullptr) return nullptr;
  const PartRow* parent = active->stack.empty() ? nullptr : active->stack.back().row;
  const PartRow* row = row_of(function.name());
  const bool ours = function.scope() == at::RecordScope::USER_SCOPE;
  if (row == nullptr || (parent != nullptr && !ours)) row = parent;
  active->stack.push_back({row, Clock::now()});
  return nullptr;
}

void leave(const at::RecordFunction&, at::ObserverContext*) {
  if (active == nullptr || active->stack.empty()) return;
  const PartTimer::Record::Frame frame = active->stack.back();
  active->stack.pop_back();
  const Clock::duration taken = Clock::now() - frame.start;
  if (frame.row != nullptr) active->own[frame.row->part] += taken - frame.inside;
  if (!active->stack.empty()) active->stack.back().inside += taken;
}

}  // namespace

PartTimer::PartTimer() : record_(std::make_unique<Record>()) {
  if (active != nullptr) throw std::logic_error("this thread has a PartTimer already");
  active = record_.get();
  callback_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(&enter, &leave)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE}));
}

PartTimer::~PartTimer() {
  at::removeCallback(callback_);
  active = nullptr;
}

std::vector<PartTime> PartTimer::parts() const {
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  std::vector<PartTime> all;
  double other = seconds(Clock::now() - record_->since);
  for (const auto& [part, time] : record_->own) {
    all.push_back({std::string(part), seconds(time)});
    other -= all.back().seconds;
  }
  all.push_back({"other", other});
  std::sort(all.begin(), all.end(),
            [](const PartTime& a, const PartTime& b) { return a.seconds > b.seconds; });
  return all;
}

}  // namespace fathom
