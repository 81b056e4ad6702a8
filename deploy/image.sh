#!/usr/bin/env bash
# Builds the image of a board: `make image`, or `deploy/image.sh [NAME]` (torpor:latest).
#
# The base is the official slim Python image. Where no image registry can be reached, it is made of
# Debian packages instead (debootstrap, as root). The wheels are fetched with the host's pip, which
# knows the way to a package index; where it has none that fit, the image's own pip asks PyPI.
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

# Runs a command; what it says is of interest only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
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

# Wheels for the image: only a Linux of the engine's own kind finds those that fit.
wheels_of_host() {
  [ "$(uname -s)" = Linux ] &&
    quietly "$PYTHON" -m pip wheel --no-deps --wheel-dir build/wheels . &&
    quietly "$PYTHON" -m pip download --only-binary=:all: --python-version 3.11 \
      --dest build/wheels --find-links build/wheels torpor
}

docker version >/dev/null 2>&1 || fail "no Docker engine answers; start one, or set DOCKER_HOST"
BASE=$OFFICIAL
if ! docker image inspect "$OFFICIAL" >/dev/null 2>&1 && ! docker pull --quiet "$OFFICIAL" >/dev/null 2>&1; then
  BASE=$FALLBACK
  if ! docker image inspect "$FALLBACK" >/dev/null 2>&1; then
    echo "image: no image registry can be reached; making a base of Debian packages"
    base_of_packages
  fi
fi
rm -rf build # A build that is begun anew takes nothing of what is gone.
mkdir -p build/wheels
NETWORK=none
if ! wheels_of_host; then
  echo "image: no wheels from this machine's pip; the image's own asks PyPI"
  rm -rf build/wheels
  NETWORK=host # A proxy of this machine may be on loopback.
fi
# `torpor up --compose` looks at it: an image of older code would be refused by what is typed here.
code=$("$PYTHON" -c 'from deploy.loading import code_hash; print(code_hash())')
quietly docker build --network "$NETWORK" --build-arg "BASE=$BASE" --file deploy/Dockerfile \
  --label "torpor.code=$code" --tag "$IMAGE" . || fail "the build failed"
size=$(docker image inspect --format '{{.Size}}' "$IMAGE")
echo "image: $IMAGE on $BASE, $((size / 1000000)) MB, in $SECONDS s"
