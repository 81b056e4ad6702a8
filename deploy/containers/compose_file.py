"""The compose file of a board: one container per process, each with no more than it needs.

Written for classic docker-compose 1.29 and Compose v2 alike. There are two ways to the files that
containers find (see `deploy.containers.layout`): the shipped compose files have a one-shot service
`prepare` that makes them in volumes; `torpor up --compose` makes them in a run folder of the host.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from bus.runfolder import BOARD, KEYS, SESSION
from deploy.composition import processes
from deploy.containers.layout import OPERATOR_PROCESS
from deploy.session import INTERCONNECT, KEYS_VARIABLE, MONITOR
from proto.board import Board

PREPARE: Final = "prepare"
NETWORK: Final = "bus"

BOARD_AT: Final = "/run/torpor"
"""Where containers find board and session."""
SECRETS_AT: Final = "/run/secrets"
"""Where a container finds its private key."""
RUNS_AT: Final = "/var/lib/torpor"
"""Where the volume with the run folders is mounted."""
ALL_KEYS_AT: Final = "/run/keys"
"""Where `prepare` finds the volumes for everybody's keys."""

USER: Final = "10001:10001"
"""The image's own user; nobody's on the host."""

FIRST_HOST: Final = 2
"""Last number of the interconnect's address; the others follow."""

HEALTHY: Final = "test $$(( $$(date +%s) - $$(stat -c %Y /tmp/alive) )) -lt 10"
"""The process has answered the hub, or served, within ten seconds."""

READERS: Final = (OPERATOR_PROCESS, MONITOR)
"""Processes that read the journal; a domain's must not: all memory is in it."""

_SCRATCH: Final = "/tmp:size=16m,mode=1777"  # noqa: S108  # the container's own

SETTINGS: Final = {
    "TORPOR_PROFILE": "baseline",
    "TORPOR_POWER": "all-lost",
    "TORPOR_SEED": "0",
    "TORPOR_TIME_SCALE": "1",
}
"""What the environment of `docker compose up` may choose, and what it is otherwise."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Processes that are started together, when those of the stage before are healthy."""

    members: tuple[str, ...]
    interval_s: int
    """Time between two health checks; a check costs more than what it looks at."""


def stages(board: Board) -> tuple[Stage, ...]:
    """The start order: who is spoken to comes before who speaks."""
    names = tuple(processes(board))
    early = (INTERCONNECT, "firmware", "gicd", "devices", *READERS)
    return (
        Stage((INTERCONNECT,), 2),
        Stage(("firmware", "gicd", "devices"), 3),
        Stage(tuple(name for name in names if name not in early), 5),
        Stage(READERS, 10),
    )


def shipped(board: Board, platform_file: Path | None = None) -> str:
    """The compose file for a platform: volumes, and a service that fills them.

    A platform that the image does not have is read from its file.
    """
    names = tuple(processes(board))
    volumes = dict.fromkeys(("board", "journals", *map(_key_volume, names)))
    subnet = "${TORPOR_SUBNET:-172.31.77}"
    services = _services(board, subnet, USER, "${TORPOR_IMAGE:-torpor:latest}", _in_volumes)
    for service in services.values():
        service["depends_on"][PREPARE] = {"condition": "service_completed_successfully"}
    return _text(
        f"A board in containers: platform {board.platform.name}. "
        "Written by `torpor compose`; docs/COMPOSE.md says how to use it.",
        {
            "services": {PREPARE: _prepare(board, names, subnet, platform_file)} | services,
            "networks": _networks(subnet),
            "volumes": volumes,
        },
    )


def of_run(board: Board, run: Path, image: str, user: str, subnet: str) -> str:
    """The compose file for a board whose files lie in a run folder of the host."""
    services = _services(board, subnet, user, image, partial(_in_run_folder, run=run))
    secrets = {
        _key_volume(name): {"file": str(run / KEYS / f"{name}.key")} for name in processes(board)
    }
    return _text(
        "A board in containers, written by `torpor up --compose`; `torpor down` ends it.",
        {"services": services, "networks": _networks(subnet), "secrets": secrets},
    )


# -- services


def _services(
    board: Board,
    subnet: str,
    user: str,
    image: str,
    mounts: Callable[[str], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """One service per process, in start order."""
    services: dict[str, dict[str, Any]] = {}
    before: Sequence[str] = ()
    for stage in stages(board):
        for name in stage.members:
            services[name] = {
                "image": image,
                "command": _command(name),
                "hostname": name,
                "user": user,
                "networks": {NETWORK: {"ipv4_address": f"{subnet}.{FIRST_HOST + len(services)}"}},
                "depends_on": {other: {"condition": "service_healthy"} for other in before},
                "healthcheck": {
                    "test": ["CMD-SHELL", HEALTHY],
                    "interval": f"{stage.interval_s}s",
                    "timeout": "5s",
                    "retries": 5,
                    "start_period": "60s",
                },
                **_confined("512m" if name == INTERCONNECT else "256m"),
                **mounts(name),
            }
        before = stage.members
    return services


def _command(name: str) -> list[str]:
    words = ["python", "-P", "-m", "deploy.process"]
    return [*words, "--run", BOARD_AT, "--keys", SECRETS_AT, "--name", name]


def _prepare(
    board: Board, names: Sequence[str], subnet: str, platform_file: Path | None
) -> dict[str, Any]:
    """The service that makes session and keys before all else; it needs no network."""
    platform = board.platform.name
    files: list[str] = []
    if platform_file is not None:
        platform = f"/run/platform/{platform_file.name}"
        files = [f"{platform_file}:{platform}:ro"]
    return {
        "image": "${TORPOR_IMAGE:-torpor:latest}",
        "command": [
            *("torpor", "prepare", "--address", f"{subnet}.{FIRST_HOST}"),
            *("--board", BOARD_AT, "--runs", RUNS_AT, "--keys", ALL_KEYS_AT),
            *("--scenario", board.scenario.name, "--platform", platform),
        ],
        "user": USER,
        "network_mode": "none",
        "environment": {name: f"${{{name}:-{value}}}" for name, value in SETTINGS.items()},
        **_confined("256m"),
        "volumes": [
            f"board:{BOARD_AT}",
            f"journals:{RUNS_AT}",
            *(f"{_key_volume(name)}:{ALL_KEYS_AT}/{name}" for name in names),
            *files,
        ],
    }


def _confined(memory: str) -> dict[str, Any]:
    """What no container of a board has: privileges, a writable root, more than its share."""
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [_SCRATCH],
        "mem_limit": memory,
        "cpus": 1.0,
        "pids_limit": 64,
        "restart": "no",
        "stop_grace_period": "5s",
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "2"}},
    }


def _in_volumes(name: str) -> dict[str, Any]:
    """What a container finds where, in volumes."""
    volumes = [f"board:{BOARD_AT}:ro", f"{_key_volume(name)}:{SECRETS_AT}:ro"]
    if name == INTERCONNECT:
        volumes.append(f"journals:{RUNS_AT}")
    elif name in READERS:
        volumes.append(f"journals:{RUNS_AT}:ro")
    if name != OPERATOR_PROCESS:
        return {"volumes": volumes}
    # `docker compose exec operator torpor ...` finds the board and may join it.
    return {"environment": {"TORPOR_RUNS": RUNS_AT, KEYS_VARIABLE: SECRETS_AT}, "volumes": volumes}


def _in_run_folder(name: str, run: Path) -> dict[str, Any]:
    """What a container finds where, from a run folder of the host; nobody sees others' keys."""
    volumes = [f"{run / file}:{BOARD_AT}/{file}:ro" for file in (BOARD, SESSION)]
    mounts: dict[str, Any] = {
        "volumes": volumes,
        "secrets": [{"source": _key_volume(name), "target": f"{name}.key"}],
    }
    if name == INTERCONNECT or name in READERS:
        volumes.append(f"{run}:{run}" if name == INTERCONNECT else f"{run}:{run}:ro")
        mounts["tmpfs"] = [*_confined("")["tmpfs"], f"{run / KEYS}:size=4k,mode=0555"]
    return mounts


def _key_volume(name: str) -> str:
    return f"key-{name}"


def _networks(subnet: str) -> dict[str, Any]:
    """A network of its own: fixed addresses, and no way out."""
    return {NETWORK: {"internal": True, "ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}}}


class _Plain(yaml.SafeDumper):
    """No anchors: the file is for people too."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        return True


def _text(head: str, content: Mapping[str, Any]) -> str:
    dumped = yaml.dump(content, Dumper=_Plain, sort_keys=False, width=1000)
    return f"# {head}\n{dumped}"
