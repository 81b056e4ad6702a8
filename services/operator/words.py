"""Steps in words: for the journal, for a missed expectation, for a person's terminal."""

from proto.scenario import ExpectLine, Step


def step_text(step: Step) -> str:
    """A step in words, for the journal."""
    if step.type_line is not None:
        return f"type on dom{step.type_line.domain}: {step.type_line.line}"
    if step.expect is not None:
        return f"expect {_expected(step.expect)}"
    if step.power is not None:
        return f"expect power {step.power.state} within {step.power.within_ms} ms"
    if step.reached is not None:
        return f"expect {step.reached.point!r} to be reached within {step.reached.within_ms} ms"
    if step.xl is not None:
        return f"dom{step.xl.from_domain}: {step.xl.line}"
    if step.irq is not None:
        return f"irq {step.irq}"
    if (wake := step.waking) is not None:
        return f"wake by {wake.source} within {wake.within_ms} ms"
    if step.alarm_ms is not None:
        return f"alarm in {step.alarm_ms} ms"
    return f"wait {step.wait_ms} ms"


def missed(step: Step) -> str:
    """What did not happen in time."""
    if (wake := step.waking) is not None:
        return f"{wake.source} did not wake the board within {wake.within_ms} ms"
    return step_text(step).replace("expect ", "expected ", 1)


def time_limit_ms(step: Step) -> int | None:
    """How long a step may take, or None for one that is done at once."""
    limited = step.expect or step.power or step.reached or step.xl or step.waking
    return limited.within_ms if limited is not None else step.wait_ms


def _expected(expect: ExpectLine) -> str:
    texts = " or ".join(repr(text) for text in expect.any_of)
    where = "Xen's console" if expect.domain is None else f"dom{expect.domain}"
    return f"{texts} on {where} within {expect.within_ms} ms"
