#!/usr/bin/env bash
# Checks the code with ruff and runs the tests.
#
#   bash launch/test.sh                       everything
#   bash launch/test.sh -k losses -x          pytest's arguments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/environment.sh
source launch/environment.sh
prepare_environment test

"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
exec "$PYTHON" -m pytest "$@"
