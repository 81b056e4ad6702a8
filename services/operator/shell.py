"""A command at a guest's shell: the echo, the output, the prompt with the exit status."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from proto.scenario import XlCommand

NO_STATUS = -1


class Answer(NamedTuple):
    """What a shell made of a command: exit status and the lines between echo and prompt."""

    status: int
    lines: tuple[str, ...]


def answer_to(command: str, domain: int, lines: Sequence[str]) -> Answer | None:
    """Find a command's answer among the lines printed since it was typed; None if it is not there.

    The shell echoes a line when it takes it, prints what the command prints, and then its prompt,
    `dom<N> [<exit status>]#`, on a line of its own. What stands before the echo belongs to a
    command that was still running.
    """
    if command not in lines:
        return None
    prompt = re.compile(rf"dom{domain} \[(\d+)\]#")
    output: list[str] = []
    for line in lines[lines.index(command) + 1 :]:
        if (found := prompt.fullmatch(line)) is not None:
            return Answer(int(found[1]), tuple(output))
        output.append(line)
    return None


def complaint(xl: XlCommand, answer: Answer) -> str:
    """How an answer differs from what the step demands; empty if it does not."""
    where = f"`{xl.line}` on dom{xl.from_domain}"
    printed = "; ".join(map(repr, answer.lines)) or "nothing"
    if xl.status is not None and answer.status != xl.status:
        return f"{where} ended with status {answer.status}, expected {xl.status}; it said {printed}"
    if xl.any_of and not any(text in line for line in answer.lines for text in xl.any_of):
        texts = " or ".join(map(repr, xl.any_of))
        return f"{where} did not print {texts}; it said {printed}"
    return ""


def silence(domain: int, power: str, tail: Sequence[str]) -> str:
    """Why a shell does not answer, as far as a person at the bench can tell."""
    if power in ("sleeping", "waking"):
        return f"dom{domain} does not answer: the host is asleep; wake it with `torpor wake rtc`"
    if power == "off":
        return f"dom{domain} does not answer: the board is switched off"
    last = "; ".join(map(repr, tail)) or "nothing"
    return f"dom{domain} does not answer: it may be paused, frozen or asleep; last lines: {last}"
