#!/usr/bin/env bash
# Sets up what is missing, builds, and runs all tests; prints the output of those that fail.
#
#     scripts/test.sh                 everything
#     scripts/test.sh --fast          without the tests that take longest (label: slow)
#     scripts/test.sh --preset asan   the C++ tests under the address and undefined-behaviour sanitizers; tsan: those
#                                     without torch under the thread sanitizer
#     scripts/test.sh -R Placement    what follows goes to ctest
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --fast) options+=(--label-exclude slow) ;;
    --preset)
      case ${2:-} in
        release | dev | asan | tsan) preset=$2 ;;
        *) echo "test: error: --preset is '${2:-}'; allowed: release, dev, asan, tsan" >&2; exit 2 ;;
      esac
      shift ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) options+=("$1") ;;
  esac
  shift
done

targets=()
case $preset in
  asan) targets=(fathom_core_tests fathom_tests fathom_cuda_tests fuzz_targets) ;;
  tsan) targets=(fathom_core_tests fuzz_targets) ;;
esac
scripts/build.sh --preset "$preset" "${targets[@]}"
results=$PWD/build/$preset/test-results.xml
status=0
.venv/bin/ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --no-tests=error \
  --output-junit "$results" "${options[@]}" || status=$?

# The closing line counts what ran, as ctest's own leaves out what was skipped.
count() { grep -ao "<testcase [^>]*status=\"$1\"" "$results" | wc -l; }
echo "$(count run) passed, $(count fail) failed, $(count notrun) skipped"
exit "$status"
