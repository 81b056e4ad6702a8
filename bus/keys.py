"""Keys of a run: who may join it, and with what each process proves who it is.

All keys are made for one run and forgotten with it. A private key lies in a file of its own that
only its process is given; the ring of public keys is no secret. Keys are Z85 text, 40 characters.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from proto.ids import CLIENT, HUB

FILE_MODE = 0o600
"""Only the process's own user reads a private key."""


class KeyFileError(ValueError):
    """A private key that cannot be read or written; one line."""


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair."""

    public: str
    secret: str


class Keyring(msgspec.Struct, frozen=True):
    """The public keys of a run: the hub's, each process's, and the one that all clients share."""

    hub: str
    processes: dict[str, str]
    client: str

    def owner(self, public: str) -> str:
        """Process that a key belongs to, `client`, or nothing for a key of somebody else."""
        if public == self.client:
            return CLIENT
        return next((name for name, key in self.processes.items() if key == public), "")


class Credentials(msgspec.Struct, frozen=True):
    """What a process needs to join: its own keys, and the hub's public key."""

    own: KeyPair
    hub: str


def make_keys(
    processes: Iterable[str], new: Callable[[], KeyPair]
) -> tuple[Keyring, dict[str, KeyPair]]:
    """Fresh keys for a run: the public ring, and the private keys by owner.

    `new` makes a key pair. The owners are the processes, `hub` and `client`.
    """
    private = {owner: new() for owner in (*processes, HUB, CLIENT)}
    public = {owner: pair.public for owner, pair in private.items()}
    return Keyring(public.pop(HUB), public, public.pop(CLIENT)), private


def key_file(folder: Path, owner: str) -> Path:
    """Where the private key of an owner lies."""
    return folder / f"{owner}.key"


def write_key(folder: Path, owner: str, pair: KeyPair) -> Path:
    """Write a private key for its owner alone; raises `KeyFileError`."""
    path = key_file(folder, owner)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except OSError as error:
        raise KeyFileError(f"cannot write key {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(pair) + b"\n")
    return path


def read_key(folder: Path, owner: str) -> KeyPair:
    """Read a private key; raises `KeyFileError`."""
    path = key_file(folder, owner)
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeyPair)
    except OSError as error:
        raise KeyFileError(f"cannot read key {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise KeyFileError(f"{path} is no key of a run") from error
