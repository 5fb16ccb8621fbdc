#!/usr/bin/env bash
# Checks the code with ruff and runs the tests, two files at a time.
#
#   bash launch/test.sh                       everything: 12 to 21 minutes on 2 cores
#   bash launch/test.sh -m 'not processes'    for daily work: 3 minutes
#   bash launch/test.sh -n 0 -k losses -x     pytest's arguments; one at a time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/environment.sh
source launch/environment.sh
prepare_environment test

"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
exec "$PYTHON" -m pytest -n 2 --dist loadfile "$@"
