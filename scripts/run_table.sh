#!/usr/bin/env bash
# What every scripts/table_*.sh does: builds train-llm and runs a plan of configs/tables with scripts/run_table.py.
#
#     scripts/run_table.sh configs/tables/placements.yaml --scale nano
#
# --help and --dry-run build nothing: they take train-llm as it is, or do without.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
case " $* " in
  *" --help "* | *" -h "* | *" --dry-run "*) [ -x "$python" ] || python=python3 ;;
  *) "$root/scripts/build.sh" train-llm ;;
esac
exec "$python" "$root/scripts/run_table.py" "$@"
