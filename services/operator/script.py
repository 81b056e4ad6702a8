"""Steps that the operator carries out one after the other: the scenario's, or a client's."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from proto.ids import BoardNs, NodeId
from proto.messages import RaiseLine, RtcAlarm, SerialInput
from proto.scenario import ExpectLine, Step, Wake, XlCommand
from proto.traces import TraceBody
from proto.turn import CancelTimer, Effect, Send, SetTimer, Trace
from proto.units import MS
from services.operator.seen import Seen, console_node
from services.operator.shell import NO_STATUS, answer_to, complaint, silence
from services.operator.words import missed, time_limit_ms

RTC_NODE = NodeId("rtc")
LAST_LINES = 3
"""How many lines of the console a missed expectation quotes."""

ASLEEP = ("sleeping", "off")
"""What the LED shows while no domain can run, so that nothing is typed to one."""


class Outcome(NamedTuple):
    """How a script went; `lines` and `status` are the last step's."""

    ok: bool
    reason: str = ""
    lines: tuple[str, ...] = ()
    status: int = NO_STATUS
    refused: bool = False
    """Nothing was begun."""


def device_of(source: str | int, sources: Mapping[int, NodeId]) -> NodeId | None:
    """The device that a person means by its name or by its INTID; None if there is no such."""
    if isinstance(source, int):
        return sources.get(source)
    return NodeId(source) if source in sources.values() else None


class Script:
    """Steps under way; `outcome` is None until they are carried out or one has failed.

    `timer` names this script's one timer. `announce` makes the trace of a step that begins.
    Every method that takes `effects` adds to it what has to be done.
    """

    def __init__(
        self,
        timer: str,
        steps: Sequence[Step],
        seen: Seen,
        sources: Mapping[int, NodeId],
        announce: Callable[[int, Step], TraceBody],
    ) -> None:
        self.timer = timer
        self.outcome: Outcome | None = None
        self.index = 0
        """The current step, or the one that has failed."""
        self._steps = steps
        self._seen = seen
        self._sources = sources
        self._announce = announce
        self._waiting = False
        """The current step ends with the timer, or earlier if what it waits for comes."""
        self._first_line: dict[NodeId, int] = {}
        """Console to the number of the first line that it prints in this step."""
        self._first_led = 0
        self._last: Outcome = Outcome(ok=True)

    def begin(self, now: BoardNs, effects: list[Effect]) -> None:
        """Begin with the first step."""
        self._begin_step(now, effects)
        self.advance(now, effects)

    def advance(self, now: BoardNs, effects: list[Effect]) -> None:
        """Something has happened: go on to the first step that is not done yet."""
        while self.outcome is None:
            done = self._result(self._steps[self.index], effects)
            if done is None:
                return
            self._leave_step(effects)
            if not done.ok:
                self.outcome = done
                return
            self._last = done
            self.index += 1
            self._begin_step(now, effects)

    def timed_out(self, now: BoardNs, effects: list[Effect]) -> None:
        """A wait is over, or an expectation was missed."""
        self._waiting = False
        step = self._steps[self.index]
        if step.wait_ms is not None:
            self.index += 1
            self._begin_step(now, effects)
            self.advance(now, effects)
        else:
            self._release(step)
            self.outcome = self._missed(step)

    # -- steps

    def _begin_step(self, now: BoardNs, effects: list[Effect]) -> None:
        """Announce the current step and act; the end of the steps is the end of the script."""
        if self.index == len(self._steps):
            self.outcome = self._last
            return
        step = self._steps[self.index]
        effects.append(Trace(self._announce(self.index, step)))
        terminals = self._seen.terminals
        self._first_line = {node: terminal.printed for node, terminal in terminals.items()}
        self._first_led = len(self._seen.led)
        if step.type_line is not None:
            dst = console_node(step.type_line.domain)
            effects.append(Send(dst, SerialInput(step.type_line.line)))
        elif step.irq is not None:
            effects.append(Send(self._device(step.irq), RaiseLine()))
        elif step.waking is not None and self._seen.power != "off":
            effects.append(Send(self._device(step.waking.source), RaiseLine()))
        elif step.alarm_ms is not None:
            effects.append(Send(RTC_NODE, RtcAlarm(step.alarm_ms * MS)))
        if (limit_ms := time_limit_ms(step)) is not None:
            self._waiting = True
            at_ns = now + limit_ms * MS
            effects.append(SetTimer(self.timer, at_ns, at_ns))

    def _leave_step(self, effects: list[Effect]) -> None:
        self._release(self._steps[self.index])
        if self._waiting:
            self._waiting = False
            effects.append(CancelTimer(self.timer))

    def _device(self, source: str | int) -> NodeId:
        device = device_of(source, self._sources)
        assert device is not None, "checked when the scenario was loaded, or the client refused"
        return device

    # -- what ends a step

    def _result(self, step: Step, effects: list[Effect]) -> Outcome | None:
        """How a step has gone; None while it is under way."""
        if step.expect is not None:
            return self._expected_line(step.expect)
        if step.power is not None:
            return Outcome(ok=True) if self._seen.power == step.power.state else None
        if step.reached is not None:
            return Outcome(ok=True) if step.reached.point in self._seen.reached else None
        if step.xl is not None:
            return self._xl(step.xl, effects)
        if (wake := step.waking) is not None:
            return self._woken(wake)
        if step.irq is not None:
            return Outcome(ok=True, lines=(self._raised(step.irq),))
        return Outcome(ok=True) if step.wait_ms is None else None

    def _expected_line(self, expect: ExpectLine) -> Outcome | None:
        node = console_node(expect.domain)
        first = self._first_line[node] if expect.since == "step" else 0
        for line in self._seen.terminals[node].lines(first):
            if any(text in line for text in expect.any_of):
                return Outcome(ok=True, lines=(line,))
        return None

    def _raised(self, source: str | int) -> str:
        device = self._device(source)
        intid = next(intid for intid, node in self._sources.items() if node == device)
        return f"raised the line of {device} (INTID {intid})"

    def _woken(self, wake: Wake) -> Outcome | None:
        """The LED decides; at boot it has not shown anything yet, and the board is on."""
        if self._seen.power == "off":
            return Outcome(ok=False, reason="the board is switched off: no wake source starts it")
        if self._seen.power not in ("on", ""):
            return None
        shown = self._seen.led[self._first_led :]
        changes = tuple(f"power LED: {state}" for state in shown)
        end = "PE0 woke, power LED on" if changes else "the board is awake, power LED on"
        return Outcome(ok=True, lines=(self._raised(wake.source), *changes, end))

    # -- commands at a shell

    def _xl(self, xl: XlCommand, effects: list[Effect]) -> Outcome | None:
        """Type the command as soon as nobody else's is under way; then wait for the prompt."""
        node = console_node(xl.from_domain)
        typing = self._seen.typing
        if typing.get(node) is not self:
            if node in typing:
                return None
            if self._seen.power in ASLEEP:
                return Outcome(ok=False, reason=silence(xl.from_domain, self._seen.power, ()))
            typing[node] = self
            self._first_line[node] = self._seen.terminals[node].printed
            effects.append(Send(node, SerialInput(xl.line)))
        answer = answer_to(xl.line, xl.from_domain, self._lines(node))
        if answer is None:
            return None
        wrong = complaint(xl, answer)
        return Outcome(not wrong, wrong, answer.lines, answer.status)

    def _lines(self, node: NodeId) -> tuple[str, ...]:
        return self._seen.terminals[node].lines(self._first_line[node])

    def _release(self, step: Step) -> None:
        """Give the keyboard back."""
        if step.xl is not None:
            node = console_node(step.xl.from_domain)
            if self._seen.typing.get(node) is self:
                del self._seen.typing[node]

    # -- what was missed

    def _missed(self, step: Step) -> Outcome:
        """What there was instead of what the step waited for."""
        led = f"the power LED shows {self._seen.power or 'nothing'}"
        if step.xl is not None:
            node = console_node(step.xl.from_domain)
            tail = self._seen.terminals[node].last(LAST_LINES)
            reason = silence(step.xl.from_domain, self._seen.power, tail)
            return Outcome(ok=False, reason=reason, lines=self._lines(node))
        if step.expect is None:
            return Outcome(ok=False, reason=f"{missed(step)}; {led}")
        tail = self._seen.terminals[console_node(step.expect.domain)].last(LAST_LINES)
        last = "; ".join(map(repr, tail)) or "nothing"
        return Outcome(ok=False, reason=f"{missed(step)}; last lines: {last}")
