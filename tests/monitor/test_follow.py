"""The advisory monitor logs each finding and attempt once, as the journal grows."""

from hand_made import Script

from proto.traces import PeHalted
from services.monitor.follow import Follower


class Lines:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(("warning", event, values))


def test_each_finding_is_logged_once() -> None:
    """However the records come in."""
    script, log = Script(), Lines()
    script.boot()
    script.trace("pe1", PeHalted("BUG"))
    script.trace("pe0", PeHalted("panic"))
    follower = Follower(script.board, "live", log)
    for record in script.records:
        follower.feed([record])
    follower.feed([])

    said = [(level, values["text"]) for level, event, values in log.lines if event == "finding"]
    assert said == [("warning", "pe1 halted: BUG"), ("warning", "pe0 halted: panic")]


def test_each_attempt_is_logged_when_it_is_over() -> None:
    """With its outcome."""
    script, log = Script(), Lines()
    script.boot()
    script.cycle()
    follower = Follower(script.board, "live", log)
    follower.feed(script.records)
    follower.feed([])

    said = [values["outcome"] for _, event, values in log.lines if event == "attempt"]
    assert said == ["slept"]
