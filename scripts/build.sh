#!/usr/bin/env bash
# Sets up what is missing and builds. What was built before stays; only what changed is compiled.
#
#     scripts/build.sh                        everything, into build/release
#     scripts/build.sh train-llm              only these targets
#     scripts/build.sh --preset asan TARGET   another preset of CMakePresets.json: dev, asan, tsan
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset)
      [ $# -ge 2 ] || { echo "build: error: --preset needs a name: release, dev, asan or tsan" >&2; exit 2; }
      preset=$2; shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "build: error: unknown option '$1'; see scripts/build.sh --help" >&2; exit 2 ;;
    *) targets+=(--target "$1") ;;
  esac
  shift
done

scripts/setup.sh
export PATH=$PWD/.venv/bin:$PATH

# A file that includes torch takes up to 2 GB to compile.
memory_gb=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
cores=$(nproc)
jobs=$((memory_gb / 2 < cores ? memory_gb / 2 : cores))
jobs=$((jobs < 1 ? 1 : jobs))

start=$SECONDS
echo "build: preset $preset, $jobs jobs on $cores cores and $memory_gb GB of free memory"
mkdir -p "build/$preset"
configure_log=build/$preset/configure.log
if cmake --preset "$preset" > "$configure_log" 2>&1; then
  sed -n 's/^-- \(LibTorch\|GPU\|OpenMP\)/build: \1/p' "$configure_log"
else
  cat "$configure_log" >&2
  exit 1
fi
cmake --build --preset "$preset" --parallel "$jobs" "${targets[@]}"
echo "build: done in $((SECONDS - start)) s, see build/$preset"
