"""Running a shrunk failure again on the code as it is now: what a regression test calls."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bus.world.delays import Delay, DelayStrategy
from deploy.explore.play import play
from deploy.loading import UsageError, code_hash
from proto.board import Board
from proto.patch import Patch
from services.monitor.verdict import Verdict


def rerun(
    board: Path,
    delays: Mapping[Delay, int],
    *,
    windows: bool = False,
    patches: Mapping[str, Path] | None = None,
) -> Verdict:
    """The verdict on a board under some delays.

    `board` is a `board.json` that `torpor shrink` wrote. `patches` replaces the text of the board's
    patches by that of files, by name. Raises `UsageError`.
    """
    try:
        found = msgspec.json.decode(board.read_bytes(), type=Board)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{board}: expected a board of `torpor shrink`, but {error}") from error
    texts = {name: path.read_text(encoding="utf-8") for name, path in (patches or {}).items()}
    replaced = tuple(
        Patch(patch.name, texts.get(patch.name, patch.text)) for patch in found.patches
    )
    found = msgspec.structs.replace(found, code=code_hash(), patches=replaced)
    verdict = play(found, DelayStrategy(delays, windows)).verdict
    assert verdict is not None, "a schedule of delays is not cut off"
    return verdict
