#!/usr/bin/env bash
# Looks for inputs that break a reader: libFuzzer with the address and undefined-behaviour sanitizers on the targets in
# tests/fuzz. An input that breaks one is put into tests/fuzz/corpus/TARGET, where the test suite runs it from then on.
#
#     scripts/fuzz.sh                              each target for a minute
#     scripts/fuzz.sh --seconds 600 utf8 manifest  ten minutes for each of these
#     scripts/fuzz.sh --list                       the targets
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: error: --seconds needs a whole number from 1 up" >&2; exit 2; }
      seconds=$2; shift ;;
    --list) ls tests/fuzz | sed -n 's/_fuzz\.cc$//p'; exit 0 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "fuzz: error: unknown option '$1'; see scripts/fuzz.sh --help" >&2; exit 2 ;;
    *)
      [ -f "tests/fuzz/$1_fuzz.cc" ] || { echo "fuzz: error: there is no target '$1'; see scripts/fuzz.sh --list" >&2; exit 2; }
      targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz | sed -n 's/_fuzz\.cc$//p')
command -v clang++ > /dev/null || { echo "fuzz: error: clang++ is missing: sudo apt-get install -y clang libclang-rt-14-dev" >&2; exit 1; }

scripts/build.sh --preset fuzz "${targets[@]/%/_fuzz}"
# Readers of files read them from memory.
scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" fathom-fuzz-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
printf '| target | runs | per second | inputs that broke it | peak memory, MB |\n|---|---:|---:|---:|---:|\n' > "$scratch/table"
status=0
for target in "${targets[@]}"; do
  corpus=tests/fuzz/corpus/$target
  found=build/fuzz/found/$target # inputs that reach something new: too many to keep in the project
  log=build/fuzz/$target.log
  mkdir -p "$corpus" "$found"
  before=$(find "$corpus" -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' | wc -l)
  TMPDIR=$scratch nice -n 19 "build/fuzz/tests/${target}_fuzz" "$found" "$corpus" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=2304 -max_len=65536 -print_final_stats=1 -artifact_prefix="$corpus/" > "$log" 2>&1 || status=1
  broke=$(($(find "$corpus" -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' | wc -l) - before))
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  echo "| $target | $(stat number_of_executed_units) | $(stat average_exec_per_sec) | $broke | $(stat peak_rss_mb) |" |
    tee -a "$scratch/table"
  [ "$broke" = 0 ] || grep -m 3 -E 'ERROR|broken:|runtime error' "$log" || true
done
echo
cat "$scratch/table"
[ "$status" = 0 ] || echo "fuzz: error: a target ended early; see build/fuzz/TARGET.log and git status tests/fuzz/corpus" >&2
exit "$status"
