#!/bin/sh
# PrologSlurmctld: books the job's power before it starts, and waits until a meter shows it free. Exit status 1 has
# Slurm requeue the job.
#
# Wants HASHLEASE_SERVER, HASHLEASE_CA, HASHLEASE_KEY (or a file that is sourced here), HASHLEASE_SITE, and
# HASHLEASE_WATTS_PER_NODE as 10500W; of Slurm SLURM_JOB_ID, SLURM_JOB_NUM_NODES and SLURM_JOB_END_TIME.
set -eu

env=${HASHLEASE_ENV:-/etc/slurm/hashlease.env}
if [ -r "$env" ]; then . "$env"; fi
state=${HASHLEASE_STATE:-/var/spool/slurm/hashlease}
mkdir -p "$state"

watts=$((${HASHLEASE_WATTS_PER_NODE%W} * SLURM_JOB_NUM_NODES))
end=$(date -u -d "@$SLURM_JOB_END_TIME" +%Y-%m-%dT%H:%M:%SZ)

# The same job asks with the same id, however often this runs: it is booked once.
job="${SLURM_CLUSTER_NAME:-cluster}/$SLURM_JOB_ID/${SLURM_JOB_RESTART_COUNT:-0}"
id=$(printf %s "$job" | sha256sum | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\1-\2-\3-\4-\5/')

lease=$(hashlease lease create --site "$HASHLEASE_SITE" --watts "${watts}W" --end "$end" --request-id "$id" --json |
	sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
printf '%s\n' "$lease" >"$state/$SLURM_JOB_ID"
exec hashlease lease watch "$lease" --until active
