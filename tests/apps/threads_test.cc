#include "apps/threads.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "fathom/base/cores.h"

namespace fathom {
namespace {

int64_t threads(const std::map<std::string, std::string>& environment) {
  return threads_of_environment([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(Threads, AreThoseOfOmpNumThreads) {
  EXPECT_EQ(threads({}), 0);
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "3"}}), 3);
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "1"}}), 1);
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "4,2"}}), 4);  // nested levels: OpenMP 5.2, 21.1.2
}

TEST(Threads, OfAValueThatOpenMpRefusesAreNotSet) {
  for (const char* value : {"", "0", "-2", "two", "2x", "99999999999999999999"})
    EXPECT_EQ(threads({{"OMP_NUM_THREADS", value}}), 0) << value;
}

TEST(Threads, TheOneThatTorchrunSetsByItselfIsNobodysChoice) {
  const std::map<std::string, std::string> torchrun = {{"TORCHELASTIC_RUN_ID", "none"},
                                                       {"LOCAL_WORLD_SIZE", "2"}};
  auto with = [&](const char* value) {
    auto environment = torchrun;
    environment["OMP_NUM_THREADS"] = value;
    return threads(environment);
  };
  EXPECT_EQ(with("1"), 0);
  EXPECT_EQ(with("2"), 2);
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "1"}, {"LOCAL_WORLD_SIZE", "2"}}), 1);
  EXPECT_EQ(
      threads(
          {{"OMP_NUM_THREADS", "1"}, {"TORCHELASTIC_RUN_ID", "none"}, {"LOCAL_WORLD_SIZE", "1"}}),
      1);  // torchrun leaves a single process alone
}

TEST(Threads, AreShareOfTheCoresUntilTheyAreChosen) {
  EXPECT_EQ(num_threads(), num_cores());
  EXPECT_EQ(num_threads(num_cores()), 1);
  EXPECT_EQ(num_threads(100 * num_cores()), 1);
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  EXPECT_EQ(num_threads(2), 3);  // each process was told
  set_num_threads(num_cores());
}

}  // namespace
}  // namespace fathom
