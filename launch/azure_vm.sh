#!/usr/bin/env bash
# Rents an Azure spot VM with a GPU, runs an experiment on it, copies the results
# back and always deletes the VM.
#
#   bash launch/azure_vm.sh [--dry_run] MODULE --data_dir=DIR --workdir=DIR [flags]
#
# Needs `az login`. Environment variables: SIZE (Standard_NC24ads_A100_v4),
# LOCATION (westeurope), IMAGE (a Linux with NVIDIA's driver), MAX_PRICE (dollars
# per hour; -1 is the price on demand).
#
# Azure announces an eviction half a minute ahead; the run then saves and exits.
# The same command rents another VM and resumes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/remote.sh
source launch/remote.sh
take_dry_run "$@"
[ "${#ARGUMENTS[@]}" -ge 1 ] || usage

name=imat-jax-$(date +%Y%m%d-%H%M%S)
size=${SIZE:-Standard_NC24ads_A100_v4}
location=${LOCATION:-westeurope}
image=${IMAGE:-microsoft-dsvm:ubuntu-hpc:2204:latest}
user=imat

# Deleting the resource group deletes the VM with its disk and address.
trap 'run az group delete --name "$name" --yes --no-wait' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run az group create --name "$name" --location "$location" --output none
run az vm create --resource-group "$name" --name "$name" --image "$image" \
  --size "$size" --priority Spot --eviction-policy Delete \
  --max-price "${MAX_PRICE:--1}" --admin-username "$user" \
  --generate-ssh-keys --os-disk-size-gb 128 --output none
address=ADDRESS
[ -n "$DRY_RUN" ] || address=$(az vm show --resource-group "$name" \
  --name "$name" --show-details --query publicIps --output tsv)
ssh_options=(-o ServerAliveInterval=30 -o StrictHostKeyChecking=accept-new)

on() {
  run ssh "${ssh_options[@]}" "$user@$address" "$1"
}
to() {
  run rsync --archive --relative --compress --exclude='*.so' \
    --rsh="ssh ${ssh_options[*]}" "$@" "$user@$address:imat_jax/"
}
from() {
  run mkdir -p "$1"
  run rsync --archive --compress --rsh="ssh ${ssh_options[*]}" \
    "$user@$address:imat_jax/$1/" "$1/"
}

to launch/eviction.sh
on "setsid nohup bash imat_jax/launch/eviction.sh >eviction.log 2>&1 </dev/null &"
carry_out gpu on from to "${ARGUMENTS[@]}"
