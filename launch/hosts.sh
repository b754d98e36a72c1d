#!/usr/bin/env bash
# One search on several hosts, started again until it is done: as a Slurm job, or by ssh.
#
#   sbatch --nodes=4 --gpus-per-node=8 launch/hosts.sh -- --config=nasnet --workdir=/shared/mine
#   launch/hosts.sh --hosts="node1 node2" -- --config=nasnet --workdir=mine
#
#   --hosts     to reach by ssh, the first of which is process 0; without it the hosts are those of the Slurm job.
#   --port      of process 0, by ssh; 12355 by default.
#   --root      of the repository on every host; by default where this is run.
#   --python    the interpreter on every host; by default python.
#   --attempts  how often to start before giving up; 100 by default.
#   --dry_run   print what would be executed, and execute nothing.
#   --          what follows is given to launch.search on every host; it must name a --workdir, which process 0 needs.
#
# Slurm sends SIGTERM two minutes before the job's time is up: the search saves, and the job is queued again.
#SBATCH --job-name=jaxnas
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

usage() { sed -n '2,/^#SBATCH/p' "$0" | grep '^# ' | cut -c3- >&2; exit 2; }
HOSTS= PORT=12355 ROOT=${SLURM_SUBMIT_DIR:-$PWD} PYTHON=python ATTEMPTS=100 DRY=
while [ $# -gt 0 ]; do
  case $1 in
    --hosts=*) HOSTS=${1#*=} ;; --port=*) PORT=${1#*=} ;; --root=*) ROOT=${1#*=} ;; --python=*) PYTHON=${1#*=} ;;
    --attempts=*) ATTEMPTS=${1#*=} ;; --dry_run) DRY=1 ;; --) shift; break ;;
    *) echo "hosts.sh: unknown $1" >&2; usage ;;
  esac
  shift
done
[[ " $* " == *" --workdir="* ]] || { echo "hosts.sh: after -- name a --workdir, so that it can resume" >&2; usage; }
[ -n "$HOSTS" ] || [ -n "${SLURM_JOB_ID:-}" ] || { echo "hosts.sh: --hosts is missing, and this is no Slurm job" >&2; usage; }

run() {
  if [ -n "$DRY" ]; then printf '%q ' "$@"; echo; else "$@"; fi
}
FLAGS=$(printf '%q ' "$@")
SEARCH="cd $(printf '%q' "$ROOT") && $PYTHON -m launch.search --multihost"

once() {
  if [ -z "$HOSTS" ]; then  # JAX asks Slurm who is who
    run srun --kill-on-bad-exit=1 bash -c "$SEARCH $FLAGS"
    return
  fi
  read -ra hosts <<<"$HOSTS"
  local processes=() index=0 status=0
  for host in "${hosts[@]}"; do
    local place="--coordinator=${hosts[0]#*@}:$PORT --process_count=${#hosts[@]} --process_index=$index"
    if [ -n "$DRY" ]; then
      run ssh "$host" "$SEARCH $place $FLAGS"
    else
      ssh -tt "$host" "$SEARCH $place $FLAGS" & processes+=($!)
    fi
    index=$((index + 1))
  done
  for process in "${processes[@]}"; do wait "$process" || status=$?; done
  return "$status"
}

quick=0 status=1
for attempt in $(seq "$ATTEMPTS"); do
  begin=$SECONDS status=0
  once || status=$?
  [ "$status" = 0 ] && break
  if [ "$status" = 143 ] && [ -n "${SLURM_JOB_ID:-}" ]; then  # the job's time is up
    run scontrol requeue "$SLURM_JOB_ID"
    break
  fi
  if [ $((SECONDS - begin)) -lt 60 ]; then quick=$((quick + 1)); else quick=0; fi
  [ "$quick" -lt 2 ] || { echo "hosts.sh: launch.search ended at once, twice; see above" >&2; break; }
  echo "hosts.sh: attempt $attempt ended with status $status; again" >&2
  sleep "${PAUSE:-10}"
done
exit "$status"
