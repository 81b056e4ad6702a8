#!/usr/bin/env bash
# Builds the image of a board: `make image`, or `deploy/image.sh [NAME]` (torpor:latest).
#
# The base is the official slim Python image. Where no image registry can be reached, it is made of
# Debian packages instead (debootstrap, as root), and the wheels are fetched with the host's pip.
set -euo pipefail
cd "$(dirname "$0")/.."

IMAGE=${1:-torpor:latest}
OFFICIAL=python:3.11-slim-bookworm
FALLBACK=torpor-base:bookworm
PYTHON=${PYTHON:-.venv/bin/python}
# The classic builder needs no plugin and no image of its own.
export DOCKER_BUILDKIT=0

fail() {
  echo "image: $1" >&2
  exit 2
}

# Where this machine gets its Debian packages from.
mirror() {
  grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d \
    2>/dev/null | head -n 1 | tr -d ' ' || true
}

base_of_packages() {
  [ "$(id -u)" = 0 ] || fail "no image registry can be reached, and a base of Debian packages is made by root only"
  command -v debootstrap >/dev/null || fail "no image registry can be reached; install debootstrap, or pull $OFFICIAL"
  local root
  root=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$root'" EXIT
  local from
  from=$(mirror)
  debootstrap --variant=minbase --include=python3,python3-venv bookworm "$root" \
    "${from:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 1 "$root.log")"
  rm -f "$root.log"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info,locale}/* \
    "$root"/var/log/*
  ln -sf python3 "$root/usr/bin/python"
  tar -C "$root" -c . | docker import --change 'CMD ["python3"]' - "$FALLBACK" >/dev/null
}

wheels_of_host() {
  rm -rf build/wheels
  mkdir -p build/wheels
  "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir build/wheels .
  "$PYTHON" -m pip download --quiet --only-binary=:all: --python-version 3.11 \
    --dest build/wheels --find-links build/wheels torpor
}

docker version >/dev/null 2>&1 || fail "no Docker engine answers; start one, or set DOCKER_HOST"
BASE=$OFFICIAL
NETWORK=default
if docker image inspect "$OFFICIAL" >/dev/null 2>&1 || docker pull --quiet "$OFFICIAL" >/dev/null 2>&1; then
  rm -rf build/wheels
else
  BASE=$FALLBACK
  NETWORK=none
  if ! docker image inspect "$FALLBACK" >/dev/null 2>&1; then
    echo "image: no image registry can be reached; making a base of Debian packages"
    base_of_packages
  fi
  wheels_of_host
fi
docker build --quiet --network "$NETWORK" --build-arg "BASE=$BASE" --file deploy/Dockerfile \
  --tag "$IMAGE" . >/dev/null
echo "image: $IMAGE on $BASE, $(docker image inspect --format '{{.Size}}' "$IMAGE" | awk '{printf "%d MB", $1 / 1000000}')"
