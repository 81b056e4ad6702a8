"""How many suspend cycles a board on real processes makes per second, and what one costs."""

import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bus.journal import read_journal
from bus.runfolder import RunFolder
from deploy.loading import resolve
from deploy.run_live import run_live
from deploy.supervisor import LiveOptions
from proto.traces import Phase
from proto.turn import Send, Trace, Turn
from proto.units import S

REPEATS = 3


def run() -> dict[str, float]:
    """Cycles per second and messages per cycle, with CURVE as by default and without."""
    rounds = [(_cycles(curve=True), _cycles(curve=False)) for _ in range(REPEATS)]
    secured = [with_curve for with_curve, _ in rounds]
    return {
        "live cycles/s": median(taken.per_s for taken in secured),
        "live cycles/s without CURVE": median(plain.per_s for _, plain in rounds),
        "curve_cycle_ratio": median(plain.per_s / taken.per_s for taken, plain in rounds),
        "messages per live cycle": median(taken.messages for taken in secured),
        "live messages/s in a cycle": median(taken.per_s * taken.messages for taken in secured),
    }


class Cycles(NamedTuple):
    """Cycles a second, and messages of one, from the first freeze to the last resume."""

    per_s: float
    messages: float


def _cycles(curve: bool) -> Cycles:
    board = resolve("ten-cycles")
    with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "run") as folder:
        result = run_live(board, folder, LiveOptions(curve=curve), lambda records: None)
        assert result.outcome == "ended", result.reason
        turns = [turn for turn in read_journal(result.journal).records if isinstance(turn, Turn)]
    begun = _positions(turns, Phase("S0", "system_state", "begin"))
    done = _positions(turns, Phase("R9", "domain_resume", "end"))
    span = turns[begun[0] : done[-1] + 1]
    sent = sum(isinstance(effect, Send) for turn in span for effect in turn.effects)
    seconds = (turns[done[-1]].now - turns[begun[0]].now) / S
    return Cycles(len(done) / seconds, sent / len(done))


def _positions(turns: list[Turn], phase: Phase) -> list[int]:
    return [
        position
        for position, turn in enumerate(turns)
        if any(isinstance(effect, Trace) and effect.event == phase for effect in turn.effects)
    ]
