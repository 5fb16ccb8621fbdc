#!/usr/bin/env bash
# Runs on an Azure VM: tells the experiment when the VM is to be evicted.
#
# Azure's metadata service lists what is planned for the VM; `Preempt` leaves 30
# seconds. Then every experiment gets SIGTERM, which makes it save and leave.
set -euo pipefail
if [ "${1:-}" = --dry_run ]; then
  printf '+ pkill -TERM -f -- "-m experiments[.]", once a Preempt is announced\n'
  exit
fi
events='http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01'
until curl --silent --max-time 3 --header Metadata:true "$events" |
  grep -q '"Preempt"'; do
  sleep 2
done
date --utc +'%FT%TZ: the VM will be evicted'
pkill -TERM -f -- '-m experiments[.]'
