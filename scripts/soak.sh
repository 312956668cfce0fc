#!/usr/bin/env bash
# A campaign of faults against train-llm of build/release, with a table at the end: kills at random times and before each
# system call of a save, failing calls, full disks, damaged files, lost ranks, narrow machines, fresh seeds of the tests.
#
#     scripts/soak.sh                     half an hour
#     scripts/soak.sh --minutes 120 --seed 7      as long as that; again with its seed, it goes on where it stopped
#     scripts/soak.sh --only kills:17 --seed 7    one try again
#     scripts/soak.sh --help              all options, and the cases
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in
  *" --help "* | *" -h "*) [ -x .venv/bin/python ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0; } ;;
esac
exec nice -n 19 .venv/bin/python tests/soak/soak.py "$@"
