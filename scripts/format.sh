#!/usr/bin/env bash
# Formats all C++ sources with .venv's clang-format, whose version is pinned.
#
#     scripts/format.sh            in place
#     scripts/format.sh --check    names what differs and changes nothing; 77 where clang-format is missing
set -euo pipefail
cd "$(dirname "$0")/.."

clang_format=.venv/bin/clang-format
if [ ! -x "$clang_format" ]; then
  echo "format: $clang_format is missing; scripts/setup.sh installs it" >&2
  exit 77
fi
case ${1:-} in
  '') options=(-i) ;;
  --check) options=(--dry-run --Werror) ;;
  *) echo "usage: scripts/format.sh [--check]" >&2; exit 2 ;;
esac
find include src tests \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 "$clang_format" "${options[@]}"
