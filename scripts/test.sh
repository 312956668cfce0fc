#!/usr/bin/env bash
# Sets up what is missing, builds, and runs all tests; prints the output of those that fail.
#
#     scripts/test.sh                 everything
#     scripts/test.sh --fast          without the tests that take longest (label: slow)
#     scripts/test.sh -R Placement    what follows goes to ctest
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
for argument in "$@"; do
  case $argument in
    --fast) options+=(--label-exclude slow) ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) options+=("$argument") ;;
  esac
done

scripts/build.sh
results=$PWD/build/release/test-results.xml
status=0
.venv/bin/ctest --test-dir build/release --parallel "$(nproc)" --output-on-failure --no-tests=error \
  --output-junit "$results" "${options[@]}" || status=$?

# The closing line counts what ran, as ctest's own leaves out what was skipped.
count() { grep -ao "<testcase [^>]*status=\"$1\"" "$results" | wc -l; }
echo "$(count run) passed, $(count fail) failed, $(count notrun) skipped"
exit "$status"
