"""What a board in containers finds in its files: addresses, session and keys.

All containers read board and session; each is given its own private key and no other. The run
folder, with the journal, is the interconnect's.
"""

import shutil
from pathlib import Path
from typing import Final

from bus.keys import key_file
from bus.runfolder import RunFolder
from deploy.composition import processes
from deploy.session import Session, issue_keys, new_token, write_session
from proto.board import Board
from proto.ids import CLIENT

TURNS_PORT: Final = 7700
PULSE_PORT: Final = 7701

OPERATOR_PROCESS: Final = "operator"
"""The process whose container a person's commands may be run in: it gets the client's key."""


def lay_out(board: Board, folder: RunFolder, address: str, time_scale: float) -> Session:
    """Put session, board and keys into a run folder; the hub will be at this address.

    Raises `KeyFileError`.
    """
    hosted = processes(board)
    session = Session(
        run=folder.path.name,
        token=new_token(),
        endpoints=(f"tcp://{address}:{TURNS_PORT}", f"tcp://{address}:{PULSE_PORT}"),
        journal=str(folder.journal),
        time_scale=time_scale,
        processes=hosted,
        ring=issue_keys(hosted, folder.keys),
    )
    write_session(folder.path, board, session)
    return session


def hand_out_keys(folder: RunFolder, session: Session, to: Path) -> None:
    """Move each private key into the folder of its owner, `to/NAME`, in place of an earlier one.

    The operator's container is given the client's key as well. Raises OSError.
    """
    owners = {name: name for name in session.processes} | {CLIENT: OPERATOR_PROCESS}
    for owner, container in owners.items():
        source, target = key_file(folder.keys, owner), key_file(to / container, owner)
        target.unlink(missing_ok=True)
        # The folders are volumes of their own: the key cannot just be renamed.
        shutil.move(source, target)
