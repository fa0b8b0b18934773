#!/bin/sh
# EpilogSlurmctld: gives the job's power back to mining. It may run again, and for jobs that had none.
set -eu

env=${HASHLEASE_ENV:-/etc/slurm/hashlease.env}
if [ -r "$env" ]; then . "$env"; fi
file=${HASHLEASE_STATE:-/var/spool/slurm/hashlease}/$SLURM_JOB_ID

[ -e "$file" ] || exit 0
status=0
hashlease lease cancel "$(cat "$file")" || status=$?
case $status in
0 | 3) rm -f "$file" ;; # 3: it is over already
*) exit "$status" ;;    # its end is the job's: nothing is held longer than that
esac
