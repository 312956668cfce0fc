#!/usr/bin/env bash
# Runs the tests that take random inputs with fresh seeds, and prints each seed that fails.
# scripts/build.sh comes first; scripts/test.sh runs the same tests with one seed, always the same.
#
#     scripts/soak_tests.sh                 200 seeds, from a random one on
#     scripts/soak_tests.sh --seeds 2000    so many
#     scripts/soak_tests.sh --from 17       from this one on
#
# FATHOM_TEST_SEED=17 before the command of a test runs that one again.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=200
first=$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')
while [ $# -gt 0 ]; do
  case $1 in
    --seeds | --from)
      [[ ${2:-} =~ ^[1-9][0-9]{0,8}$ ]] || { echo "soak_tests: error: $1 needs a whole number" >&2; exit 2; }
      if [ "$1" = --seeds ]; then seeds=$2; else first=$2; fi
      shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "soak_tests: error: unknown option '$1'; see scripts/soak_tests.sh --help" >&2; exit 2 ;;
  esac
  shift
done

export OMP_WAIT_POLICY=passive FATHOM_TEST_SEED=$first
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
touch "$scratch/failed"
echo "soak_tests: $seeds seeds from $first on"

# A test that asked for its seed has it among its properties.
for program in build/release/tests/fathom_{core,cuda,}_tests; do
  program=${program/__/_}
  [ -x "$program" ] || { echo "soak_tests: error: $program is missing; run scripts/build.sh" >&2; exit 2; }
  rm -f "$scratch/once.xml"
  "$program" --gtest_brief=1 --gtest_output="xml:$scratch/once.xml" > "$scratch/log" 2>&1 || true
  if ! grep -qs '^</testsuites>' "$scratch/once.xml"; then
    echo "$program: ended before its last test; its last lines:"
    tail -n 5 "$scratch/log"
    echo "$program" >> "$scratch/failed"
    continue
  fi
  tests=$(sed -n -e '/<testcase /{s/.*<testcase name="\([^"]*\)".*classname="\([^"]*\)".*/\2.\1/;h}' \
              -e '/"FATHOM_TEST_SEED"/{g;p}' "$scratch/once.xml" | sort -u)
  echo "$program: $(wc -w <<< "$tests") tests"
  GTEST_FILTER=$(paste -sd: <<< "$tests") "$program" --gtest_brief=1 --gtest_repeat="$seeds" \
    > "$scratch/log" 2>&1 || true
  ended=$(grep -c '^\[==========\] .* ran\.' "$scratch/log" || true)
  if [ "$ended" != "$seeds" ]; then
    echo "$program: ended in repetition $ended; its last lines:"
    tail -n 5 "$scratch/log"
    echo "$program" >> "$scratch/failed"
  fi
  grep '^FATHOM_TEST_SEED=' "$scratch/log" | tee -a "$scratch/failed" || true
done

# A process for each seed: a hundredth of them.
oracle=tests/oracles/safetensors_oracle.py
tool=build/release/tests/safetensors_tool
for ((seed = first; seed <= first + seeds / 100; ++seed)); do
  .venv/bin/python3 "$oracle" --tool "$tool" --seed "$seed" > "$scratch/log" 2>&1 ||
    echo "FATHOM_TEST_SEED=$seed $oracle fails" | tee -a "$scratch/failed"
done

failed=$(wc -l < "$scratch/failed")
echo "soak_tests: $failed failures with $seeds seeds"
[ "$failed" = 0 ]
