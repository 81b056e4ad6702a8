#!/usr/bin/env bash
# A Docker engine of its own in the folder $1; whatever ends this script ends and removes all of it.
set -uo pipefail
root=$1
export DOCKER_HOST=unix://$root/docker.sock

remove_all() {
  trap - EXIT TERM INT HUP
  if docker version >/dev/null 2>&1; then
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1
    docker network prune --force >/dev/null 2>&1
  fi
  kill "$engine" 2>/dev/null
  wait "$engine" 2>/dev/null
  awk -v root="$root/" 'index($2, root) == 1 {print $2}' /proc/mounts | sort -r |
    xargs --no-run-if-empty umount --lazy 2>/dev/null
  rm -rf "$root"
}
trap remove_all EXIT
trap 'exit 143' TERM INT HUP

mkdir -p "$root"
# No bridge of its own: a board brings its network, and another engine's docker0 is left alone.
dockerd --host "$DOCKER_HOST" --data-root "$root/data" --exec-root "$root/exec" \
  --pidfile "$root/pid" --bridge none >"$root/log" 2>&1 &
engine=$!
wait "$engine"
