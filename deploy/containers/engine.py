"""What is asked of Docker: a board's containers up and down, and room in its networks."""

import ipaddress
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

COMPOSE_FILE: Final = "compose.yaml"
"""Name of the compose file in the run folder of a board in containers."""

IMAGE: Final = "torpor:latest"

CODE_LABEL: Final = "torpor.code"
"""Label of an image: the hash of the code in it, if `make image` has built it."""

SUBNETS: Final = tuple(f"172.31.{third}" for third in range(77, 256))
"""Networks of 256 addresses that boards may have; the first is the shipped compose files'."""

ROUTES: Final = Path("/proc/net/route")
"""The networks that this machine has a way to, its engines' bridges among them (proc(5))."""

UP_LIMIT_S: Final = 300.0
DOWN_LIMIT_S: Final = 120.0


class EngineError(Exception):
    """Docker cannot do what was asked; one line."""


class _Ipam(msgspec.Struct):
    config: list[dict[str, str]] | None = msgspec.field(name="Config", default=None)


class _Network(msgspec.Struct):
    ipam: _Ipam = msgspec.field(name="IPAM", default_factory=_Ipam)


class Project:
    """The containers of one board; its compose file lies in the board's run folder.

    Raises `EngineError`.
    """

    def __init__(self, run: Path) -> None:
        self.name = re.sub(r"[^a-z0-9_-]", "-", f"torpor-{run.name.lower()}")
        self._file = run / COMPOSE_FILE

    def up(self) -> None:
        """Start all containers, each when those it depends on are healthy."""
        self._compose("up", "--detach", "--no-build", limit_s=UP_LIMIT_S)

    def down(self) -> None:
        """Stop and remove whatever there is of the board; its compose file goes with it."""
        self._compose("down", "--volumes", "--remove-orphans", limit_s=DOWN_LIMIT_S)
        self._file.unlink()

    def _compose(self, *words: str, limit_s: float) -> None:
        _run(*_compose(), "-p", self.name, "-f", str(self._file), *words, limit_s=limit_s)


def free_subnet() -> str:
    """The first three numbers of a network that overlaps no other of Docker's or this machine's.

    Another engine's bridge with the same addresses would get what is meant for this board.
    """
    ids = _run("docker", "network", "ls", "--quiet").split()
    text = _run("docker", "network", "inspect", *ids) if ids else "[]"
    taken = _routed() + [
        ipaddress.ip_network(config["Subnet"], strict=False)
        for network in msgspec.json.decode(text, type=list[_Network])
        for config in network.ipam.config or ()
        if "Subnet" in config
    ]
    for subnet in SUBNETS:
        wanted = ipaddress.ip_network(f"{subnet}.0/24")
        if not any(wanted.overlaps(other) for other in taken if other.version == wanted.version):
            return subnet
    raise EngineError(f"no free network among {SUBNETS[0]}.0/24 to {SUBNETS[-1]}.0/24")


def _routed() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Networks that this machine reaches; the default route says nothing."""
    rows = ROUTES.read_text(encoding="ascii").splitlines()[1:] if ROUTES.exists() else []
    networks = []
    for row in rows:
        words = row.split()
        # Addresses in network order, printed as numbers of this machine's.
        address, mask = (
            ipaddress.IPv4Address(int(words[column], 16).to_bytes(4, sys.byteorder))
            for column in (1, 7)
        )
        if int(mask):
            networks.append(ipaddress.ip_network(f"{address}/{mask}"))
    return networks


def require_image(image: str, code: str) -> None:
    """Make sure that the image is there, with this code in it, before anything is started.

    One without a label is somebody's own; the hub refuses whatever does not fit.
    """
    if not _run("docker", "images", "--quiet", image).strip():
        raise EngineError(f"there is no image {image}; `make image` builds it")
    text = _run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image)
    labels = msgspec.json.decode(text, type=dict[str, str] | None) or {}
    if labels.get(CODE_LABEL, code) != code:
        raise EngineError(f"image {image} has other code than this; `make image` builds it anew")


def _compose() -> tuple[str, ...]:
    """Compose v2 as docker's own subcommand, or the classic command."""
    if shutil.which("docker") is None:
        raise EngineError("there is no docker command; install a Docker engine")
    probe = subprocess.run(  # fixed words
        ["docker", "compose", "version"],  # noqa: S607  # whichever the user has
        capture_output=True,
        check=False,
    )
    if probe.returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is not None:
        return ("docker-compose",)
    raise EngineError("there is neither `docker compose` nor docker-compose; install one of them")


def _run(*words: str, limit_s: float = 60.0) -> str:
    """What a command prints; its failure is the last line of its errors."""
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            words, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except FileNotFoundError as error:
        raise EngineError(f"there is no {words[0]} command; install a Docker engine") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"`{words[0]}` took longer than {limit_s:.0f} s") from error
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    raise EngineError(lines[-1] if lines else f"`{words[0]}` ended with {done.returncode}")
