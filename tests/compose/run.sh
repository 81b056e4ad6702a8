#!/usr/bin/env bash
# Runs the tests of boards in containers with the pytest that is given. CI has to have an engine;
# elsewhere they are left out, in plain words, where they cannot run.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${CI:-}" ] && { [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; }; then
  echo "tests/compose left out: they need root, and Debian's docker.io, docker-compose and debootstrap"
  exit 0
fi
exec "$@" tests/compose
