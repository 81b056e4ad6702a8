"""The run folder: private to its user, exclusive to one run; everything of the run lies in it.

A second bind would steal a live ipc path in silence, hence the lock. The lock is held by the
process that made the folder and goes with it, however it ends.
"""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

IPC_PATH_MAX = 107
"""Bytes in an ipc path at most (sun_path without its terminator)."""

JOURNAL = "journal"
"""Name of the journal in a run folder, unless the user wants it elsewhere."""

BOARD = "board.msgpack"
"""Name of the file with the encoded board."""

SESSION = "session.msgpack"
"""Name of the file with what else the processes of a run must know."""

STATE = "state.json"
"""Name of the file with the state and the pids of a run."""

KEYS = "keys"
"""Name of the folder with the private keys of a run."""

_LOCK = "lock"
_SOCKET = "hub.sock"
_PULSE = "pulse.sock"
_LOGS = "logs"
_LAST = "last"


class RunFolderError(Exception):
    """A folder that a run cannot have; one line that says why."""


def runs_root() -> Path:
    """Where run folders are made: `$TORPOR_RUNS`, or `./runs`."""
    return Path(os.environ.get("TORPOR_RUNS") or "runs").absolute()


def is_held(path: Path) -> bool:
    """Whether a living process holds this run folder; False also if it is none."""
    try:
        descriptor = os.open(path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class RunFolder:
    """A locked run folder; use it as a context manager or `close` it.

    Without a path a fresh folder is made under `root`, `$TORPOR_RUNS` or `./runs`, and the link
    `last` beside it leads to it from then on. A given folder is created, or used again if it is
    empty or an earlier run's that has ended. Raises `RunFolderError`.
    """

    def __init__(self, path: Path | None = None, root: Path | None = None) -> None:
        try:
            self.path = _fresh((root or runs_root()).absolute()) if path is None else _given(path)
            self._lock = _lock(self.path)
        except OSError as error:
            where = path or error.filename
            raise RunFolderError(f"cannot use run folder {where}: {error.strerror}") from error
        self._socket_folder: Path | None = None
        self._clear()
        if path is None:
            _name_last(self.path)

    @property
    def board(self) -> Path:
        """The encoded board."""
        return self.path / BOARD

    @property
    def session(self) -> Path:
        """What else the processes of the run must know."""
        return self.path / SESSION

    @property
    def journal(self) -> Path:
        """The journal, unless the user wants it elsewhere."""
        return self.path / JOURNAL

    @property
    def keys(self) -> Path:
        """Folder of the private keys."""
        return self.path / KEYS

    @property
    def logs(self) -> Path:
        """Folder of the per-process logs."""
        return self.path / _LOGS

    def ipc_endpoints(self) -> tuple[str, str]:
        """Where the hub may bind; in a private temporary folder if this path is too long."""
        folder = self.path
        if not _has_room(folder):
            if self._socket_folder is None:
                self._socket_folder = _socket_folder()
            folder = self._socket_folder
        return f"ipc://{folder / _SOCKET}", f"ipc://{folder / _PULSE}"

    def close(self) -> None:
        """Remove the sockets and give the lock back; closing twice is allowed."""
        for name in (_SOCKET, _PULSE):
            (self.path / name).unlink(missing_ok=True)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _clear(self) -> None:
        """What an earlier run left must not be taken for this one's."""
        for name in (_SOCKET, _PULSE, STATE, BOARD, SESSION, JOURNAL):
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.logs, self.keys):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)


def _fresh(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=root))


def _name_last(path: Path) -> None:
    """Let `last` lead to this run: in one step, as runs may start together.

    A convenience: no run fails because a file system has no links, or something else has that name.
    """
    last = path.with_name(_LAST)
    new = path.with_name(f"{path.name}.{_LAST}")
    if last.exists() and not last.is_symlink():
        return
    with suppress(OSError):
        new.symlink_to(path.name, target_is_directory=True)
        try:
            new.replace(last)
        finally:
            new.unlink(missing_ok=True)


def _given(path: Path) -> Path:
    path = path.absolute()
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is not a folder; choose another run folder")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (path / _LOCK).exists() and any(path.iterdir()):
        raise RunFolderError(f"{path} is neither empty nor a run folder; choose another folder")
    path.chmod(0o700)
    return path


def _lock(path: Path) -> int:
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunFolderError(
            f"run folder {path} is in use by another run; wait for it or choose another"
        ) from None
    return descriptor


def hold(path: Path) -> int:
    """Hold a run folder that somebody else has made, until the descriptor is closed.

    Raises `RunFolderError`.
    """
    try:
        return _lock(path)
    except OSError as error:
        raise RunFolderError(f"cannot use run folder {path}: {error.strerror}") from error


def _has_room(folder: Path) -> bool:
    return len(os.fsencode(folder / _PULSE)) <= IPC_PATH_MAX


def _socket_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="torpor-"))
    if _has_room(folder):
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="torpor-", dir="/tmp"))  # private by mkdtemp
