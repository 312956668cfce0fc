#!/usr/bin/env bash
# Table 1 of The Curse of Depth beside our own: builds, runs what has not run yet, and writes table.md and table.csv.
#
#     scripts/table_1.sh --scale nano                        two cores, 45 minutes
#     scripts/table_1.sh --scale nano --dry-run              what it would run and take
#     scripts/table_1.sh --scale paper --text c4/ --tokenizer t5.model
#     scripts/table_1.sh --help                              all options
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
exec "$root/scripts/run_table.sh" "$root/configs/tables/table_1.yaml" "$@"
