#!/usr/bin/env bash
# Formats all C++ sources with .venv's clang-format, whose version is pinned.
#
#     scripts/format.sh            in place
#     scripts/format.sh --check    names what differs and changes nothing; 77 where clang-format is missing
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  '') options=(-i) ;;
  --check) options=(--dry-run --Werror) ;;
  -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "format: error: unknown argument '$1'; see scripts/format.sh --help" >&2; exit 2 ;;
esac
clang_format=.venv/bin/clang-format
if [ ! -x "$clang_format" ]; then
  echo "format: $clang_format is missing; scripts/setup.sh installs it" >&2
  exit 77
fi
find include src tests \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 "$clang_format" "${options[@]}"
