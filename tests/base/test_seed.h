/// Where tests take their random inputs from.
#pragma once

#include <cstdint>

namespace fathom {

/// Seed of a test's random inputs: 1, or FATHOM_TEST_SEED, and one more in each repetition of
/// --gtest_repeat. A test that fails prints it. scripts/soak_tests.sh repeats the tests that call
/// this.
uint32_t test_seed();

/// Whether to run the next of many cases: all of them, but in repetitions one of 16, by the seed.
bool runs_case();

}  // namespace fathom
