// How many threads the environment asks for.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

/// OMP_NUM_THREADS, of a nested list its first number; 0 where it isn't set or is no number (of
/// that, OpenMP itself warns). torchrun sets it to 1 for each of several processes of a host unless
/// somebody else did; that 1 is nobody's choice and counts as not set.
/// @param variable a name -> its value or null, as std::getenv
int64_t threads_of_environment(const std::function<const char*(const char*)>& variable);

}  // namespace fathom
