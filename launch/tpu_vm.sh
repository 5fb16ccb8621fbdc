#!/usr/bin/env bash
# Queues for a TPU slice, runs an experiment on all its hosts, copies the results
# back and always releases the slice.
#
#   bash launch/tpu_vm.sh [--dry_run] MODULE --data_dir=DIR --workdir=DIR [flags]
#
# Needs `gcloud auth login` and a project. Environment variables: TYPE (v6e-8),
# ZONE (europe-west4-a), RUNTIME (v2-alpha-tpuv6e), PRICING (--spot; or
# --guaranteed).
#
# The hosts find each other; --batch_size is global. If the slice is preempted, the
# run ends; the same command queues again and resumes from the last checkpoint that
# was copied back, every five minutes (FETCH_SECONDS).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/remote.sh
source launch/remote.sh
take_dry_run "$@"
[ "${#ARGUMENTS[@]}" -ge 1 ] || usage

name=imat-jax-$(date +%Y%m%d-%H%M%S)
zone=(--zone "${ZONE:-europe-west4-a}")
tpus=(gcloud compute tpus)

trap 'run "${tpus[@]}" queued-resources delete "$name" "${zone[@]}" --force \
  --quiet --async' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run "${tpus[@]}" queued-resources create "$name" --node-id "$name" \
  "${zone[@]}" --accelerator-type "${TYPE:-v6e-8}" \
  --runtime-version "${RUNTIME:-v2-alpha-tpuv6e}" "${PRICING:---spot}"

state() {
  "${tpus[@]}" queued-resources describe "$name" "${zone[@]}" \
    --format='value(state.state)'
}
until [ -n "$DRY_RUN" ] || [ "$(state)" = ACTIVE ]; do
  case $(state) in
  FAILED | SUSPENDED) die "no slice from the queue: $(state)" ;;
  esac
  sleep 20
done

on() {
  run "${tpus[@]}" tpu-vm ssh "$name" "${zone[@]}" --worker=all --command="$1"
}
to() {
  # One archive, as the tool is slow with many files.
  local packed
  packed=$(mktemp --suffix=.tar.gz)
  run tar --create --gzip --file="$packed" --exclude='*.so' "$@"
  run "${tpus[@]}" tpu-vm scp "$packed" "$name:part.tar.gz" "${zone[@]}" \
    --worker=all
  on 'mkdir -p imat_jax && tar --extract --file=part.tar.gz -C imat_jax'
  rm "$packed"
}
from() {
  # Only the first host writes results.
  run mkdir -p "$(dirname "$1")"
  run "${tpus[@]}" tpu-vm scp --recurse "$name:imat_jax/$1" \
    "$(dirname "$1")/" "${zone[@]}" --worker=0
}

carry_out tpu on from to "${ARGUMENTS[@]}"
