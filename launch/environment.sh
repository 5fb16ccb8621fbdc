# shellcheck shell=bash
# Sourced by local.sh and test.sh: finds Python, makes .venv, keeps it fresh.
#
#   prepare_environment base|test
#
# installs the package with the versions of requirements.lock and the extras
# download and report, for `test` with that extra too, unless .venv has them
# already. Leaves the interpreter's path in $PYTHON. $IMAT_JAX_PYTHON names another Python to make .venv with, and
# $IMAT_JAX_EXTRA another extra than base: gpu or tpu.

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

find_python() {
  local candidate
  # Those that the tests run on come first.
  for candidate in "${IMAT_JAX_PYTHON:-}" python3.12 python3.11 python3.13 \
    python3 python; do
    # Runs it: a name on the PATH may be a shim that leads nowhere.
    if [ -n "$candidate" ] && "$candidate" -c \
      'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die 'needs Python 3.11 or newer; none is on the PATH' \
    '(IMAT_JAX_PYTHON=/path/to/python names one)'
}

prepare_environment() {
  local extra=${IMAT_JAX_EXTRA:-$1} package python wanted stamp=.venv/installed
  PYTHON=$PWD/.venv/bin/python
  wanted=$(cat requirements.lock setup.py pyproject.toml \
    imat_jax/models/kernels/*.cc imat_jax/models/kernels/*.h | cksum)$PWD
  # Line 1 of the stamp says what was installed from, line 2 with which extras.
  if [ -x "$PYTHON" ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$wanted" ] &&
    sed -n 2p "$stamp" | grep -qw "$extra"; then
    return
  fi
  python=$(find_python) || exit 1
  printf 'Making .venv from requirements.lock (once; some minutes) …\n' >&2
  if ! "$PYTHON" -c 'import pip' 2>/dev/null; then
    "$python" -m venv --clear .venv ||
      die "could not make .venv; on Debian: apt install python3-venv"
  fi
  rm -f "$stamp"
  package=.[download,report]
  [ "$extra" = base ] || package=".[download,report,$extra]"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check \
    --constraint requirements.lock --editable "$package" ||
    die 'the installation failed; the lines above say why'
  printf '%s\nbase %s\n' "$wanted" "$extra" >"$stamp"
}
