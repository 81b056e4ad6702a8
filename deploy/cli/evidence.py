"""Reading what a run left behind, and refusing what this code cannot speak about."""

from pathlib import Path

from bus.journal import MAGIC as JOURNAL_MAGIC
from bus.journal import Journal, read_journal
from bus.runfolder import JOURNAL
from bus.world.tape import MAGIC as TAPE_MAGIC
from bus.world.tape import Tape, read_tape
from deploy.cli.report import replay_command
from deploy.loading import UsageError, code_hash

HEAD_BYTES = 64
"""The mark is the first field of both kinds of file."""


def read_evidence(path: Path) -> Journal | Tape:
    """A journal or a tape of this code; raises `UsageError` for anything else."""
    _refuse_folder(path)
    head = _head(path)
    if TAPE_MAGIC.encode() in head:
        tape = read_tape(path)
        _check(path, tape.composition, tape.board.composition, tape.board.code)
        return tape
    if JOURNAL_MAGIC.encode() in head:
        return read_own_journal(path)
    raise UsageError(f"{path} is neither a journal nor a tape; give one that `torpor run` wrote")


def read_own_journal(path: Path) -> Journal:
    """A journal of this code."""
    journal = read_any_journal(path)
    header = journal.header
    _check(path, header.composition, header.board.composition, header.board.code)
    return journal


def read_any_journal(path: Path) -> Journal:
    """A journal of any code; whoever gives something that lies near it is told so."""
    _refuse_folder(path)
    if path.is_file() and TAPE_MAGIC.encode() in _head(path):
        raise UsageError(f"{path} is a tape, not a journal; use `{replay_command(path)}`")
    return read_journal(path)


def _refuse_folder(path: Path) -> None:
    if (path / JOURNAL).is_file():
        raise UsageError(f"{path} is a folder; give {path / JOURNAL}")


def _check(path: Path, stated: str, computed: str, code: str) -> None:
    if stated != computed:
        raise UsageError(
            f"{path} says composition {stated}, but its board is {computed}; it was altered"
        )
    here = code_hash()
    if code != here:
        raise UsageError(
            f"{path} was made by code {code[:12]}, this is code {here[:12]}; "
            f"use the Torpor that made it, or run the scenario again"
        )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}; check the path") from error
