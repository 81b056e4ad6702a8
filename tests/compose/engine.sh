#!/usr/bin/env bash
# A Docker engine of its own in the folder $1; whatever ends this script ends and removes all of it.
set -uo pipefail
root=$1
bridge=torpor-$$
socket=$root/docker.sock

remove_all() {
  trap - EXIT TERM INT HUP
  remove_networks
  kill "$engine" 2>/dev/null
  wait "$engine" 2>/dev/null
  ip link delete "$bridge" 2>/dev/null
  for table in filter nat; do
    # shellcheck disable=SC2086  # a rule is many words
    iptables --table "$table" --list-rules | grep -E -- "(^| )$bridge( |$)" | sed 's/^-A/-D/' |
      while read -r rule; do iptables --table "$table" $rule; done
  done
  awk -v root="$root/" 'index($2, root) == 1 {print $2}' /proc/mounts | sort -r |
    xargs --no-run-if-empty umount --lazy 2>/dev/null
  rm -rf "$root"
}

# Containers and networks; a command that was killed with the tests may have left others at work,
# which must not find the engine any more, and may be in the middle of something.
remove_networks() {
  mv "$socket" "$root/last.sock" 2>/dev/null || return
  export DOCKER_HOST=unix://$root/last.sock
  for _ in $(seq 20); do
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1
    docker network prune --force >/dev/null 2>&1
    [ -n "$(docker ps --all --quiet; docker network ls --quiet --filter type=custom)" ] || return
    sleep 0.5
  done
}

trap remove_all EXIT
trap 'exit 143' TERM INT HUP

mkdir -p "$root"
# A bridge of its own, and no say in the machine's forwarding: without either, another engine's
# docker0 would be taken over or deleted, and its networks cut off.
ip link add "$bridge" type bridge
dockerd --host "unix://$socket" --data-root "$root/data" --exec-root "$root/exec" \
  --pidfile "$root/pid" --bridge "$bridge" --ip-forward=false >"$root/log" 2>&1 &
engine=$!
wait "$engine"
