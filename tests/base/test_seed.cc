#include "base/test_seed.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

namespace fathom {
namespace {

constexpr const char* kVariable = "FATHOM_TEST_SEED";

/// Counts repetitions, and prints the seed of what fails.
class SeedListener : public testing::EmptyTestEventListener {
 public:
  uint32_t seed() const { return first_ + repetition_; }
  bool runs_case() { return repetition_ == 0 || cases_() % 16 == 0; }

 private:
  void OnTestIterationStart(const testing::UnitTest&, int repetition) override {
    repetition_ = static_cast<uint32_t>(repetition);
  }
  void OnTestStart(const testing::TestInfo&) override { cases_.seed(seed()); }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!test.result()->Failed()) return;
    for (int i = 0; i < test.result()->test_property_count(); ++i)
      if (const testing::TestProperty& property = test.result()->GetTestProperty(i);
          std::string_view(property.key()) == kVariable)
        std::printf("%s=%s %s.%s fails\n", kVariable, property.value(), test.test_suite_name(),
                    test.name());
  }

  static uint32_t first_seed() {
    const char* text = std::getenv(kVariable);
    return text == nullptr ? 1 : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
  }

  uint32_t first_ = first_seed(), repetition_ = 0;
  std::mt19937 cases_;
};

SeedListener& listener() {
  static auto* const listener = [] {
    auto* added = new SeedListener;  // googletest's from now on
    testing::UnitTest::GetInstance()->listeners().Append(added);
    return added;
  }();
  return *listener;
}

const uint32_t added_before_tests_start = listener().seed();

}  // namespace

uint32_t test_seed() {
  const uint32_t seed = listener().seed();
  testing::Test::RecordProperty(kVariable, std::to_string(seed));
  return seed;
}

bool runs_case() { return listener().runs_case(); }

}  // namespace fathom
