"""The session in docs/TUTORIAL.md: reading it, typing it, comparing what it prints.

`python tests/live/tutorial.py` types it and writes what it prints into the document. Lines of
output that were cut down to `...` stay as they are if they still fit.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "TUTORIAL.md"
INDENT = "    "
ANYTHING = "..."
"""A line of output that stands for any number of lines."""
HOME = "/home/me"
"""Where the document's session was typed."""

VARYING = (
    (re.compile(r"/\S*(?=/runs/)"), HOME),
    (re.compile(r"\d{8}-\d{6}-\w{8}"), "RUN"),
    (re.compile(r"\b\d+\.\d+\b"), "SECONDS"),
    (re.compile(r"(?<=supervisor )\d+"), "PID"),
    (re.compile(r"(?<=\w  )\d+|(?<=[a-z\d] )\d{3,}(?=  |$)"), "PID"),
    (re.compile(r"\d+ rounds"), "COUNT rounds"),
    (re.compile(r"\d+ turns, \d+ messages, composition \w+"), "COUNTS"),
    # Whether a vCPU runs at this very moment.
    (re.compile(r"(?<= )(?:r-|-b|--)(?=[p-][s-][-rscwS][d-] )"), "??"),
    (re.compile(r"(?<= )(?:r--|-b-|---)(?= )"), "???"),
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run, and what it is compared as."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A line that was typed, with what it printed; `at` is its place in the document."""

    at: int
    command: str
    output: tuple[str, ...]


def session(text: str) -> list[Typed]:
    """The session of a document, in its order."""
    typed: list[Typed] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if not line.startswith(f"{INDENT}$ "):
            continue
        output: list[str] = []
        for printed in lines[at + 1 :]:
            if not printed.startswith(INDENT) or printed.startswith(f"{INDENT}$ "):
                break
            output.append(printed.removeprefix(INDENT))
        typed.append(Typed(at, line.removeprefix(f"{INDENT}$ "), tuple(output)))
    return typed


class Shell:
    """A person's shell in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        tools = folder / "bin"
        tools.mkdir()
        torpor = tools / "torpor"
        torpor.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m deploy.cli.main "$@"\n')
        torpor.chmod(0o755)
        self._folder = folder
        self._status = 0
        self._environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "COLUMNS": "80",
        }
        self._environment.pop("TORPOR_RUNS", None)

    def run(self, command: str) -> list[str]:
        """Type a line; gives what it prints, `echo $?` included."""
        if command == "echo $?":
            return [str(self._status)]
        ran = subprocess.run(
            command,
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            env=self._environment,
            cwd=self._folder,
        )
        self._status = ran.returncode
        return [line.rstrip().replace(str(self._folder), HOME) for line in ran.stdout.splitlines()]


def fits(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether a command prints what the document says, but for what varies."""
    pattern = "".join(
        r"(?:.*\n)*" if line == ANYTHING else f"{re.escape(plain(line))}\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{plain(line)}\n" for line in printed)) is not None


def plain(line: str) -> str:
    """A line without what varies."""
    for pattern, name in VARYING:
        line = pattern.sub(name, line)
    return line.strip()


def record() -> None:
    """Type the session and write what it prints into the document."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder))
        heard = [(typed, shell.run(typed.command)) for typed in session("\n".join(lines))]
    for typed, printed in reversed(heard):
        if not fits(typed.output, printed):
            end = typed.at + 1 + len(typed.output)
            lines[typed.at + 1 : end] = [f"{INDENT}{line}" for line in printed]
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
