#!/usr/bin/env bash
# A first run: sets up, builds, then trains a tokenizer and a small LNS Llama on text that is already here, the Python
# sources of LibTorch's wheel, and shows what it learned. What is done and unchanged is not done again.
#
#     scripts/quickstart.sh                 about 3 minutes of training on two cores
#     scripts/quickstart.sh --text PATH     on your own text: a file or a folder
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  '' | --text | --text=*) ;;
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart: error: unknown argument '$1'; see scripts/quickstart.sh --help" >&2; exit 2 ;;
esac

scripts/build.sh train-llm
exec .venv/bin/python scripts/quickstart.py "$@"
