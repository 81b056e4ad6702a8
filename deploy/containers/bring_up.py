"""Brings a board up in containers: files, compose file, containers, and the wait for its steps."""

import os
import shutil
import time
from pathlib import Path
from typing import Final

from bus.client import BoardGone, BoardSilent
from bus.keys import KeyFileError
from bus.runfolder import RunFolder
from deploy.boards import ALIVE, LOOK_S, BoardFolder, read_folder
from deploy.containers.compose_file import FIRST_HOST, USER, of_run
from deploy.containers.engine import (
    COMPOSE_FILE,
    Project,
    free_subnet,
    require_image,
)
from deploy.containers.layout import lay_out
from deploy.loading import UsageError, code_hash
from proto.board import Board
from proto.messages import AwaitSteps

RUNNING_LIMIT_S: Final = 60.0
"""All processes must have said hello by then, once their containers are up."""


def bring_up(board: Board, where: Path | None, image: str, time_scale: float) -> BoardFolder:
    """Start a board in containers and wait until the steps are carried out.

    Whoever gives up waiting takes the board with him. Raises `UsageError`, `EngineError`,
    `BoardGone` and `BoardSilent`.
    """
    require_image(image, code_hash())
    subnet = free_subnet()
    with RunFolder(where) as folder:
        try:
            lay_out(board, folder, f"{subnet}.{FIRST_HOST}", time_scale)
        except KeyFileError as error:
            raise UsageError(str(error)) from error
        text = of_run(board, folder.path, image, _user(), subnet)
        (folder.path / COMPOSE_FILE).write_text(text, encoding="utf-8")
        _give_away(folder.path)
    project = Project(folder.path)
    try:
        project.up()
        found = _running(folder.path)
        with found.join() as client:
            client.ask(AwaitSteps(client.tx))
    except BaseException:
        project.down()
        raise
    return found


def _user() -> str:
    """Whom the containers run as: the caller, as the files are his, but never root."""
    return USER if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"


def _give_away(folder: Path) -> None:
    """What root has made is for the user that the containers run as."""
    if os.getuid() != 0:
        return
    user, group = map(int, USER.split(":"))
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user, group)


def _running(path: Path) -> BoardFolder:
    """The board, once its hub says that it runs."""
    deadline_s = time.monotonic() + RUNNING_LIMIT_S
    while time.monotonic() < deadline_s:
        found = read_folder(path)
        if found is not None and found.state.state == "running":
            return found
        if found is not None and found.state.state not in ALIVE:
            raise BoardGone(f"the board did not come up: {found.state.state}")
        time.sleep(LOOK_S)
    raise BoardSilent(f"not all processes were there within {RUNNING_LIMIT_S:.0f} s")
