// How threads wait for each other: set before OpenMP looks, which is before main.

#include <sys/auxv.h>
#include <unistd.h>

namespace fathom {
namespace {

// Turns that a thread waits for another before it sleeps, some microseconds. OpenMP's own 300,000
// are milliseconds: beside another busy program the thread waited for may not have a core, and the
// one that waits burns the time in which it could have had one (results/speed has measurements).
char bounded_waiting[] = "GOMP_SPINCOUNT=1000";

bool starts_with(const char* text, const char* start) {
  while (*start != '\0') {
    if (*text++ != *start++) return false;
  }
  return true;
}

/// Starts the program again with a bound on waiting, unless the environment says how to wait.
/// libgomp reads it in its own constructor, and the functions of .preinit_array run before all
/// constructors: only the loading of libraries is done twice, some milliseconds. Nothing of the C++
/// library may be used here. Where starting again fails, all goes on as OpenMP does by itself.
__attribute__((no_sanitize("address", "undefined", "thread"))) void bound_waiting(
    int /*argc*/, char** argv, char** environment) {
  constexpr int kMostVariables = 4096;
  static char* variables[kMostVariables + 2];
  int count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostVariables || starts_with(environment[count], "OMP_WAIT_POLICY=") ||
        starts_with(environment[count], "GOMP_SPINCOUNT="))
      return;
    variables[count] = environment[count];
  }
  variables[count] = bounded_waiting;
  const bool started_by_kernel = ::getauxval(AT_BASE) != 0;  // not as an argument of ld.so
  if (started_by_kernel)
    ::execve(reinterpret_cast<const char*>(::getauxval(AT_EXECFN)), argv, variables);
}

__attribute__((section(".preinit_array"),
               used)) void (*const before_constructors)(int, char**, char**) = bound_waiting;

}  // namespace
}  // namespace fathom
