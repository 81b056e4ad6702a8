"""What clients ask of the operator: steps beside the scenario, and what the consoles print.

A client is answered when its step is done, or refused at once for what this board cannot do.
Several clients are served at the same time. One that has gone is not missed: its answer finds no
taker.
"""

from collections.abc import Mapping
from functools import partial

from proto.ids import BoardNs, NodeId
from proto.messages import AwaitSteps, Operate, OperateResult, ReadConsole
from proto.scenario import Step
from proto.traces import ClientStep
from proto.turn import CancelTimer, Effect, Send, SetTimer
from proto.units import MS
from services.operator.script import Outcome, Script, device_of
from services.operator.seen import Seen, Terminal, console_node
from services.operator.words import step_text, time_limit_ms

LIMIT_MS_MAX = 86_400_000
"""A day: nobody waits longer for an answer."""

Asking = tuple[NodeId, int]
"""A client's question: the client and its transaction number."""


class Clients:
    """Questions of clients that are not answered yet."""

    def __init__(self, seen: Seen, sources: Mapping[int, NodeId], domains: tuple[int, ...]) -> None:
        self._seen = seen
        self._sources = sources
        self._domains = domains
        self._scripts: dict[Asking, Script] = {}
        self._readers: dict[Asking, tuple[ReadConsole, int]] = {}
        """What is to be read, and how often the LED had changed when it was asked."""
        self._attending: list[Asking] = []

    def ask(
        self,
        now: BoardNs,
        client: NodeId,
        body: Operate | ReadConsole | AwaitSteps,
        effects: list[Effect],
    ) -> None:
        """Take a question; what can be answered at once is answered by the next `advance`."""
        asking = (client, body.tx)
        reason = self._refusal(asking, body)
        if reason:
            self.refuse(client, body.tx, reason, effects)
        elif isinstance(body, Operate):
            announce = partial(_announce, client)
            script = Script(_timer(asking), (body.step,), self._seen, self._sources, announce)
            self._scripts[asking] = script
            script.begin(now, effects)
        elif isinstance(body, ReadConsole):
            self._read(now, asking, body, effects)
        else:
            self._attending.append(asking)

    def refuse(self, client: NodeId, tx: int, reason: str, effects: list[Effect]) -> None:
        """This cannot be done."""
        self._answer((client, tx), Outcome(ok=False, reason=reason, refused=True), effects)

    def advance(self, now: BoardNs, steps_done: bool, effects: list[Effect]) -> None:
        """Something has happened: answer whoever can be answered.

        A finished command frees its keyboard, so look again until nobody gets on.
        """
        moving = True
        while moving:
            moving = False
            for asking, script in list(self._scripts.items()):
                script.advance(now, effects)
                if script.outcome is not None:
                    del self._scripts[asking]
                    self._answer(asking, script.outcome, effects)
                    moving = True
        for asking, (body, changes) in list(self._readers.items()):
            printed = self._terminal(body.domain).printed
            if printed > max(body.first, 0) or len(self._seen.led) != changes:
                del self._readers[asking]
                effects.append(CancelTimer(_timer(asking)))
                self._answer_lines(asking, body, effects)
        if steps_done:
            for asking in self._attending:
                self._answer(asking, Outcome(ok=True), effects)
            self._attending.clear()

    def timed_out(self, now: BoardNs, timer: str, effects: list[Effect]) -> bool:
        """A client has waited long enough; False if the timer is none of a client's."""
        for script in self._scripts.values():
            if timer == script.timer:
                script.timed_out(now, effects)
                return True
        for asking, (body, _) in list(self._readers.items()):
            if timer == _timer(asking):
                del self._readers[asking]
                self._answer_lines(asking, body, effects)
                return True
        return False

    # -- reading consoles

    def _terminal(self, domain: int) -> Terminal:
        return self._seen.terminals[console_node(None if domain < 0 else domain)]

    def _read(self, now: BoardNs, asking: Asking, body: ReadConsole, effects: list[Effect]) -> None:
        """Answer at once, unless the client wants to wait and there is nothing yet."""
        if body.within_ms == 0 or self._terminal(body.domain).printed > max(body.first, 0):
            self._answer_lines(asking, body, effects)
            return
        self._readers[asking] = (body, len(self._seen.led))
        at_ns = now + body.within_ms * MS
        effects.append(SetTimer(_timer(asking), at_ns, at_ns))

    def _answer_lines(self, asking: Asking, body: ReadConsole, effects: list[Effect]) -> None:
        terminal = self._terminal(body.domain)
        lines = terminal.last(-body.first) if body.first < 0 else terminal.lines(body.first)
        self._answer(asking, Outcome(ok=True, lines=lines), effects, terminal.printed)

    # -- answers

    def _answer(
        self, asking: Asking, outcome: Outcome, effects: list[Effect], next_line: int = 0
    ) -> None:
        client, tx = asking
        power = self._seen.power or "on"
        ok, reason, lines, status, refused = outcome
        answer = OperateResult(tx, ok, lines, status, reason, power, next_line, refused)
        effects.append(Send(client, answer))

    def _refusal(self, asking: Asking, body: Operate | ReadConsole | AwaitSteps) -> str:
        """Why a question has no answer on this board; empty if it has one."""
        if asking in self._scripts or asking in self._readers or asking in self._attending:
            return f"transaction {asking[1]} is under way already"
        if isinstance(body, AwaitSteps):
            return ""
        if isinstance(body, ReadConsole):
            if body.domain >= 0 and body.domain not in self._domains:
                return self._no_domain(body.domain)
            return "" if 0 <= body.within_ms <= LIMIT_MS_MAX else "the limit is no time of a day"
        return self._step_refusal(body.step)

    def _step_refusal(self, step: Step) -> str:
        if step.repeat is not None:
            return "a client asks for one step at a time"
        if step.domain is not None and step.domain not in self._domains:
            return self._no_domain(step.domain)
        for source in (step.irq, step.waking.source if step.waking else None):
            if source is not None and device_of(source, self._sources) is None:
                known = ", ".join(f"{node} ({spi})" for spi, node in self._sources.items())
                return f"nothing on this board drives {source}; there are {known}"
        if not 0 <= (time_limit_ms(step) or step.alarm_ms or 0) <= LIMIT_MS_MAX:
            return "the limit is no time of a day"
        return ""

    def _no_domain(self, domain: int) -> str:
        known = ", ".join(map(str, self._domains))
        return f"there is no domain {domain}; there are {known}"


def _announce(client: NodeId, _index: int, step: Step) -> ClientStep:
    return ClientStep(client, step_text(step))


def _timer(asking: Asking) -> str:
    return f"{asking[0]}.{asking[1]}"
