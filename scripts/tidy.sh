#!/usr/bin/env bash
# Runs clang-tidy with the rules of .clang-tidy; half a minute for a file that includes torch.
#
#     scripts/tidy.sh               all of src
#     scripts/tidy.sh FILE.cc...    these
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "tidy: error: unknown option '$1'; see scripts/tidy.sh --help" >&2; exit 2 ;;
esac
for tool in clang-tidy clang++; do
  if ! command -v "$tool" > /dev/null; then
    echo "tidy: error: $tool is missing; run: sudo apt-get install -y clang clang-tidy" >&2
    exit 1
  fi
done
scripts/setup.sh
export PATH=$PWD/.venv/bin:$PATH
# Its own configuration: Clang reads no header that GCC precompiled.
cmake --preset dev -B build/tidy -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON > /dev/null
if [ $# -eq 0 ]; then
  mapfile -t files < <(find src -name '*.cc' | sort)
else
  files=("$@")
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p build/tidy --quiet
