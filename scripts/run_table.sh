#!/usr/bin/env bash
# What every scripts/table_*.sh does: builds train-llm and runs a plan of configs/tables with scripts/run_table.py.
#
#     scripts/run_table.sh configs/tables/placements.yaml --scale nano
#
# --help and --dry-run build nothing: they take train-llm as it is, or do without.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
run() { "$1" "$root/scripts/run_table.py" "${@:2}"; }
early=$python
[ -x "$early" ] || early=python3
case " $* " in
  *" --help "* | *" -h "* | *" --dry-run "*) run "$early" "$@"; exit ;;
esac
"$early" -c 'import yaml' 2> /dev/null || { "$root/scripts/setup.sh" && early=$python; } # plans are YAML
run "$early" --check "$@" # what is wrong with the words is said before the build
"$root/scripts/build.sh" train-llm
run "$python" "$@"
