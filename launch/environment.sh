# shellcheck shell=bash
# Sourced by local.sh and test.sh: finds Python, makes .venv, keeps it up to date.
#
#   prepare_environment base|test
#
# installs the package with the versions of requirements.lock and the extras
# download and report (and test), unless .venv is up to date, and sets $PYTHON to
# the interpreter. $IMAT_JAX_PYTHON is another Python to make .venv with,
# $IMAT_JAX_EXTRA another extra than base: gpu or tpu.

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

find_python() {
  local candidate
  # Versions that the tests run on come first.
  for candidate in "${IMAT_JAX_PYTHON:-}" python3.12 python3.11 python3.13 \
    python3 python; do
    # Runs it, as a name on the PATH may be a broken shim.
    if [ -n "$candidate" ] && "$candidate" -c \
      'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die 'needs Python 3.11 or newer; none is on the PATH' \
    '(set IMAT_JAX_PYTHON=/path/to/python)'
}

prepare_environment() {
  local extra=${IMAT_JAX_EXTRA:-$1} package python wanted stamp=.venv/installed
  PYTHON=$PWD/.venv/bin/python
  wanted=$(cat requirements.lock setup.py pyproject.toml \
    imat_jax/models/kernels/*.cc imat_jax/models/kernels/*.h | cksum)$PWD
  # Line 1 of the stamp is the checksum of the sources, line 2 the extras.
  if [ -x "$PYTHON" ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$wanted" ] &&
    sed -n 2p "$stamp" | grep -qw "$extra"; then
    return
  fi
  python=$(find_python) || exit 1
  printf 'Making .venv from requirements.lock (once; a few minutes) …\n' >&2
  if ! "$PYTHON" -c 'import pip' 2>/dev/null; then
    "$python" -m venv --clear .venv ||
      die "could not make .venv; on Debian: apt install python3-venv"
  fi
  rm -f "$stamp"
  package=.[download,report]
  [ "$extra" = base ] || package=".[download,report,$extra]"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check \
    --constraint requirements.lock --editable "$package" ||
    die 'the installation failed; see the lines above'
  printf '%s\nbase %s\n' "$wanted" "$extra" >"$stamp"
}
