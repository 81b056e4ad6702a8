"""How many suspend cycles a board on real processes makes per second, and what one costs."""

import tempfile
from pathlib import Path

from bus.journal import read_journal
from bus.runfolder import RunFolder
from deploy.loading import resolve
from deploy.run_live import run_live
from deploy.supervisor import LiveOptions
from proto.traces import Phase
from proto.turn import Send, Trace, Turn
from proto.units import S


def run() -> dict[str, float]:
    """Cycles per second and messages per cycle, from the first freeze to the last resume."""
    board = resolve("ten-cycles")
    with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "run") as folder:
        result = run_live(board, folder, LiveOptions(), lambda records: None, lambda pids: None)
        assert result.outcome == "ended", result.reason
        turns = [turn for turn in read_journal(result.journal).records if isinstance(turn, Turn)]
    begun = _positions(turns, Phase("S0", "system_state", "begin"))
    done = _positions(turns, Phase("R9", "domain_resume", "end"))
    span = turns[begun[0] : done[-1] + 1]
    sent = sum(isinstance(effect, Send) for turn in span for effect in turn.effects)
    seconds = (turns[done[-1]].now - turns[begun[0]].now) / S
    return {
        "live cycles/s": len(done) / seconds,
        "messages per live cycle": sent / len(done),
        "live messages/s in a cycle": sent / seconds,
    }


def _positions(turns: list[Turn], phase: Phase) -> list[int]:
    return [
        position
        for position, turn in enumerate(turns)
        if any(isinstance(effect, Trace) and effect.event == phase for effect in turn.effects)
    ]
