# shellcheck shell=bash
# Sourced by the scripts that start a run on another machine. Defines
#
#   take_dry_run "$@"   sets $DRY_RUN, and ARGUMENTS to the other arguments
#   run COMMAND …       prints a command and, without --dry_run, runs it
#   flag NAME           prints the value of --NAME in ARGUMENTS, or nothing
#   carry_out …         copies, installs, checks, runs and fetches (see below)

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
# EXTRA is the extra to install, gpu or tpu. ON, FROM and TO are names of functions:
# ON COMMAND runs a shell command on the machine, TO PATH … copies files of this
# repository to the same path there, FROM FOLDER copies a folder back.
carry_out() {
  local extra=$1 on=$2 from=$3 to=$4 module=$5 name folder status=0
  shift 5
  for name in data_dir workdir; do
    folder=$(flag "$name")
    case $folder in
    '' | /* | *..*) die "--$name=$folder: must be a folder in this repository" ;;
    esac
  done
  local data workdir
  data=$(flag data_dir) workdir=$(flag workdir)
  [ -d "$data" ] || die "--data_dir=$data: no such folder"
  "$to" README.md setup.py pyproject.toml requirements.lock imat_jax \
    experiments launch
  "$to" "$data"
  # A run that was started elsewhere resumes there.
  [ ! -d "$workdir" ] || "$to" "$workdir"
  local here="cd imat_jax && IMAT_JAX_EXTRA=$extra bash launch/local.sh"
  "$on" "$here imat_jax.doctor$(quoted "--data_dir=$data" "--workdir=$workdir")"
  # The machine may be lost: the next one resumes from what was fetched. A partly
  # copied checkpoint has no seal and is ignored.
  local fetching=
  if [ -z "$DRY_RUN" ]; then
    while sleep "${FETCH_SECONDS:-300}" >/dev/null 2>&1; do
      "$from" "$workdir"
    done &
    fetching=$!
  fi
  "$on" "$here $module$(quoted "$@")" || status=$?
  [ -z "$fetching" ] || kill "$fetching"
  "$from" "$workdir"
  return "$status"
}
