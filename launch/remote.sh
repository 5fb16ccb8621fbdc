# shellcheck shell=bash
# Sourced by the scripts that start a run on another machine. Gives them
#
#   take_dry_run "$@"   sets $DRY_RUN and leaves the other arguments in ARGUMENTS
#   run COMMAND …       runs a command, or with --dry_run prints it
#   flag NAME           the value of --NAME in ARGUMENTS, or nothing
#   carry_out ON FROM TO   copies, installs, looks, runs and fetches (see there)

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

usage() {
  # The comment at the top of the script.
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

take_dry_run() {
  DRY_RUN=
  if [ "${1:-}" = --dry_run ]; then
    DRY_RUN=1
    shift
  fi
  ARGUMENTS=("$@")
}

run() {
  printf '+' >&2
  printf ' %q' "$@" >&2
  printf '\n' >&2
  [ -n "$DRY_RUN" ] || "$@"
}

flag() {
  local argument
  for argument in "${ARGUMENTS[@]}"; do
    case $argument in --"$1"=*) printf '%s\n' "${argument#*=}" ;; esac
  done
}

quoted() {
  printf ' %q' "$@"
}

# carry_out EXTRA ON FROM TO MODULE [flags]
#
# EXTRA is what to install, gpu or tpu. ON, FROM and TO are names of functions:
# ON COMMAND runs a shell command on the machine, TO PATH … copies parts of this
# repository to the same place there, FROM FOLDER copies one back.
carry_out() {
  local extra=$1 on=$2 from=$3 to=$4 module=$5 name folder status=0
  shift 5
  for name in data_dir workdir; do
    folder=$(flag "$name")
    case $folder in
    '' | /* | *..*) die "--$name=$folder: $module needs a folder in here" ;;
    esac
  done
  local data workdir
  data=$(flag data_dir) workdir=$(flag workdir)
  [ -d "$data" ] || die "--data_dir=$data: there is no such folder here"
  "$to" README.md setup.py pyproject.toml requirements.lock imat_jax \
    experiments launch
  "$to" "$data"
  # A run that was begun elsewhere goes on there.
  [ ! -d "$workdir" ] || "$to" "$workdir"
  local here="cd imat_jax && IMAT_JAX_EXTRA=$extra bash launch/local.sh"
  "$on" "$here imat_jax.doctor$(quoted "--data_dir=$data" "--workdir=$workdir")"
  # A machine may vanish: what is here by then, the next one goes on from. A
  # checkpoint that is half copied has no seal, and counts as none.
  while sleep "${FETCH_SECONDS:-300}" >/dev/null 2>&1; do
    "$from" "$workdir"
  done &
  local fetching=$!
  "$on" "$here $module$(quoted "$@")" || status=$?
  kill "$fetching"
  "$from" "$workdir"
  return "$status"
}
