#!/usr/bin/env bash
# One search on a Cloud TPU pod: create it, run on all of its workers until done, delete it.
#
#   launch/pod.sh --name=mine --zone=us-east5-b --type=v5litepod-16 --bucket=gs://BUCKET/mine [--spot] -- \
#       --config=configs/nasnet.py --config.seed=1
#
#   --name      of the TPU to create; one of that name that exists is used.
#   --zone      where.
#   --type      the accelerator and how many cores of it, v5litepod-16 say.
#   --version   of its software; by default tpu-ubuntu2204-base.
#   --project   that pays; by default gcloud's own.
#   --bucket    folder in Cloud Storage that outlives the pod: the workdir is there once a minute and at the end.
#   --spot      cheaper, and may be taken away at any moment; then it is created anew and the search resumes.
#   --attempts  how often to start before giving up; 100 by default.
#   --keep      do not delete the pod at the end.
#   --dry_run   print what would be executed, and execute nothing.
#   --          what follows is given to launch.search on every worker.
#
# Run it from the root of the repository: what git knows of it is copied to the workers. Process 0 is worker 0, and has the
# workdir. A preempted or failed attempt is started again, and resumes; flags that are wrong (status 1 within a minute,
# twice in a row) end the script.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set /p' "$0" | grep '^#' | cut -c3- >&2; exit 2; }
NAME= ZONE= TYPE= VERSION=tpu-ubuntu2204-base PROJECT= BUCKET= SPOT= ATTEMPTS=100 KEEP= DRY=
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) NAME=${1#*=} ;; --zone=*) ZONE=${1#*=} ;; --type=*) TYPE=${1#*=} ;; --version=*) VERSION=${1#*=} ;;
    --project=*) PROJECT=${1#*=} ;; --bucket=*) BUCKET=${1#*=} ;; --attempts=*) ATTEMPTS=${1#*=} ;;
    --spot) SPOT=1 ;; --keep) KEEP=1 ;; --dry_run) DRY=1 ;; --) shift; break ;;
    *) echo "pod.sh: unknown $1" >&2; usage ;;
  esac
  shift
done
for needed in NAME ZONE TYPE BUCKET; do
  [ -n "${!needed}" ] || { echo "pod.sh: --${needed,,} is missing" >&2; usage; }
done

run() {
  if [ -n "$DRY" ]; then printf '%q ' "$@"; echo; else "$@"; fi
}
tpu() {  # tpu VERB ARGUMENT …
  run gcloud compute tpus tpu-vm "$1" "$NAME" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"} "${@:2}"
}
on() {  # on WORKER COMMAND
  tpu ssh --worker="$1" --command="$2"
}
exists() { [ -z "$DRY" ] && tpu describe >/dev/null 2>&1 && [ "$(tpu describe --format='value(state)')" = READY ]; }

create() {
  exists && return
  [ -n "$DRY" ] || tpu delete --quiet >/dev/null 2>&1 || true  # what is left of a preempted one
  tpu create --accelerator-type="$TYPE" --version="$VERSION" ${SPOT:+--spot}
  run git archive --format=tar.gz --output=/tmp/jaxnas.tar.gz HEAD
  # scp takes its target where the other verbs take the name
  run gcloud compute tpus tpu-vm scp /tmp/jaxnas.tar.gz "$NAME:" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"} --worker=all
  on all 'mkdir -p jaxnas && tar xzf jaxnas.tar.gz -C jaxnas && python3 -m venv venv && venv/bin/pip install -q -e "jaxnas[tpu,tfds]"'
  on 0 "mkdir -p run && gcloud storage rsync -r $BUCKET run || true"
}

FLAGS=$(printf '%q ' "$@")
SEARCH="cd jaxnas && ../venv/bin/python -m launch.search --multihost --workdir=../run $FLAGS"
SAVE="gcloud storage rsync -r --delete-unmatched-destination-objects run $BUCKET"
quick=0 status=1
for attempt in $(seq "$ATTEMPTS"); do
  create
  if [ -z "$DRY" ]; then
    (while sleep 60; do on 0 "$SAVE" || true; done) >/dev/null 2>&1 & saver=$!
    trap 'kill $saver 2>/dev/null || true' EXIT
  fi
  begin=$SECONDS status=0
  on all "$SEARCH" || status=$?
  [ -n "$DRY" ] || kill $saver 2>/dev/null || true
  on 0 "$SAVE" || true
  [ "$status" = 0 ] && break
  if [ "$status" = 1 ] && [ $((SECONDS - begin)) -lt 60 ]; then quick=$((quick + 1)); else quick=0; fi
  [ "$quick" -lt 2 ] || { echo "pod.sh: launch.search ended at once, twice; see above" >&2; break; }
  echo "pod.sh: attempt $attempt ended with status $status; again" >&2
  sleep "${PAUSE:-10}"
done
[ -n "$KEEP" ] || tpu delete --quiet
exit "$status"
