"""Every kind of step on a simulated board: it passes when it should, and fails when it should."""

from pathlib import Path

import pytest
from vector_bench import play

from deploy.psci.run import Status

UP = "- {pe: C0, call: CPU_ON, args: [C1, $entry, 0x11], expect: SUCCESS}\n- {pe: C1, enters: {}}\n"
"""C1 runs."""

PASSING = {
    "call-code": "- {pe: C0, call: CPU_ON, args: [C0, $entry], expect: ALREADY_ON}",
    "call-number": "- {pe: C0, call: CPU_ON, args: [C0, $entry], expect: -4}",
    "call-unsigned": "- {pe: C0, call: CPU_ON, args: [C0, $entry], expect: 0xFFFFFFFFFFFFFFFC}",
    "call-list": "- {pe: C0, call: CPU_ON, args: [C0, $entry], expect: [DENIED, ALREADY_ON]}",
    "call-state": "- {pe: C0, call: AFFINITY_INFO, args: [C1, 0], expect: OFF}",
    "call-at-least": "- {pe: C0, call: VERSION, at_least: 0x10001}",
    "call-registers": "- {pe: C0, call: VERSION, args: [5], expect_registers: {x1: 5, x18: 0}}",
    "call-aarch32": "- {pe: C0, call: CPU_ON, aarch32: true, smc32: true, args: [C0, $entry], "
    "expect: ALREADY_ON}",
    "call-no-return": UP + "- {pe: C1, call: CPU_OFF, expect: no-return}",
    "call-one-after-the-other": UP
    + "- {pe: [C0, C1], call: AFFINITY_INFO, args: [$self, 0], expect: ON}",
    "call-at-once": UP + "- {pe: [C0, C1], call: CPU_ON, args: [C2, $entry, $self], at_once: true, "
    "expect_count: {SUCCESS: 1}}\n- {pe: C2, enters: {x0: $winner}}",
    "save": "- {pe: C0, call: VERSION, save: v}\n- {pe: C0, call: VERSION, expect: $v}\n"
    "- {pe: C0, call: VERSION, at_least: $v}",
    "sum": "- {pe: C0, call: AFFINITY_INFO, args: [C0+1, 0], expect: OFF}",
    "raw-registers": "- {pe: C0, call: AFFINITY_INFO, registers: {x1: C1}, expect: OFF}",
    "poll": UP + "- {pe: C1, call: CPU_OFF}\n- {pe: C0, poll: AFFINITY_INFO, args: [C1, 0], "
    "until: OFF, allow: ON, within_ms: 1000}",
    "enters": "- {pe: C0, call: CPU_ON, args: [C1, $entry, 7]}\n"
    "- {pe: C1, enters: {x0: 7}, within_ms: 10}",
    "entries": "- {pe: C1, entries: 0}\n" + UP + "- {pe: C1, entries: 1}\n- {pe: C0, entries: 0}",
    "returns": "- {pe: C0, call: CPU_ON, args: [C0, $entry]}\n- {pe: C0, returns: ALREADY_ON}",
    "resumes-at-entry": "- {pe: C0, call: SYSTEM_SUSPEND, args: [$entry, 3], expect: no-return}\n"
    "- {irq: {intid: 40, target: C0}}\n- {pe: C0, resumes: {x0: 3}}",
    "resumes-in-line": "- {sgi: 1, from: C0, to: [C0]}\n"
    "- {pe: C0, call: SYSTEM_SUSPEND, args: [$entry, 3]}\n- {pe: C0, resumes: {x0: 3}}",
    "mask": "- {irq: {intid: 40, target: C0}}\n"
    "- {pe: C0, taken: {intid: 40, times: 0}, within_ms: 5}\n"
    "- {pe: C0, mask_irq: false}\n- {pe: C0, taken: {intid: 40}}",
    "sgi": UP + "- {pe: C1, mask_irq: false}\n- {sgi: 3, from: C0, to: [C1]}\n"
    "- {pe: C1, taken: {intid: 3, times: 1, from: C0}}",
    "taken-from": UP + "- {pe: C0, mask_irq: false}\n- {sgi: 3, from: C0, to: [C0]}\n"
    "- {sgi: 3, from: C1, to: [C0]}\n- {pe: C0, taken: {intid: 3, from: C1}}\n"
    "- {pe: C0, taken: {intid: 3, from: C0}}",
    "comparators": "- {pe: C0, mask_irq: false}\n- {pe: C0, timer_ms: 5, intid: 26}\n"
    "- {pe: C0, timer_ms: 6, intid: 27}\n- {pe: C0, timer_ms: 7, intid: 30}\n"
    "- {pe: C0, taken: {intid: 30}}\n- {pe: C0, taken: {intid: 26}}\n"
    "- {pe: C0, taken: {intid: 27}}",
    "always-on-timer": "- {pe: C0, mask_irq: false}\n- {pe: C0, timer_ms: 5, intid: 60}\n"
    "- {pe: C0, taken: {intid: 60, times: 0}, within_ms: 4}\n- {pe: C0, taken: {intid: 60}}",
    "irq-moves": UP + "- {pe: [C0, C1], mask_irq: false}\n- {irq: {intid: 40, target: C0}}\n"
    "- {pe: C0, taken: {intid: 40}}\n- {irq: {intid: 40, target: C1}}\n"
    "- {pe: C1, taken: {intid: 40}}",
    "memory": "- {memory: 0x80001008, write: 0x1122334455667788}\n"
    "- {memory: 0x80001008, expect: 0x1122334455667788}\n"
    "- {memory: 0x8000100C, width: 4, expect: 0x11223344}\n"
    "- {memory: 0x80001009, width: 1, write: 0xAB}\n"
    "- {pe: C0, memory: 0x80001008, expect: 0xAB00, mask: 0xFF00, save: m}\n"
    "- {memory: 0x80001008, expect: $m, at_least: 0x1122334455660000}",
    "register": "- {pe: C0, memory: GICD+0x820, width: 4, write: 0x03020100}\n"
    "- {pe: C0, memory: GICD+0x820, width: 4, expect: 0x03020100}\n"
    "- {memory: GICD+0x822, width: 1, expect: 2}",
    "wait": "- {wait_ms: 100}",
    "repeat": "- repeat: 3\n  steps:\n    - {memory: 0x80001000, write: $round}\n"
    "- {memory: 0x80001000, expect: 2}",
    "together": UP + "- at_once:\n    - {pe: C0, call: CPU_ON, args: [C2, $entry, 2]}\n"
    "    - {steps: [{wait_ms: 1}, {pe: C1, call: CPU_ON, args: [C3, $entry, 3]}]}\n"
    "- {pe: C3, enters: {x0: 3}}",
    "hold": "- {pe: C1, hold: true}\n- {pe: C0, call: CPU_ON, args: [C1, $entry, 5]}\n"
    "- {pe: C0, call: AFFINITY_INFO, args: [C1, 0], expect: ON_PENDING}\n- {pe: C1, hold: false}\n"
    "- {pe: C1, enters: {x0: 5}}",
    "powered-off": "- {pe: C0, call: SYSTEM_OFF, expect: no-return}\n- {system: powered-off}",
    "cold-boot": UP + "- {pe: C1, call: SYSTEM_RESET, expect: no-return}\n- {system: cold-boot}\n"
    "- {pe: C0, call: AFFINITY_INFO, args: [C1, 0], expect: OFF}",
    "warm-boot": "- {pe: C0, call: SYSTEM_RESET2, expect: no-return}\n- {system: warm-boot}\n"
    "- {pe: C0, call: VERSION}",
}


def test_ram_elsewhere(tmp_path: Path) -> None:
    """Entries and memory lie where the platform says."""
    steps = UP + (
        "- {memory: 0x40000100, write: 7}\n- {memory: 0x40000100, expect: 7}\n"
        "- {pe: C0, call: CPU_ON, args: [C2, 0x80001000], expect: INVALID_ADDRESS}"
    )

    assert play(steps, tmp_path, "{ram: [[0x40000000, 0x1000000]]}").reason == ""


@pytest.mark.parametrize("kind", PASSING)
def test_a_case_that_is_right_passes(kind: str, tmp_path: Path) -> None:
    """Each kind of step, each of its keys."""
    result = play(PASSING[kind], tmp_path)

    assert (result.status, result.reason) == (Status.PASSED, "")


FAILING = {
    "- {pe: C0, call: CPU_ON, args: [C0, $entry], expect: SUCCESS}": (
        "steps[0]: C0 CPU_ON: expected SUCCESS, came ALREADY_ON (-4)"
    ),
    "- {pe: C0, call: VERSION, expect: no-return}": "expected no-return, came 0x",
    "- {pe: C0, call: SYSTEM_SUSPEND, args: [$entry], expect: SUCCESS}": (
        "expected SUCCESS, came no-return; C0 has no power"
    ),
    "- {pe: C0, call: VERSION, at_least: 0x20000}": "expected at least 0x20000, came 0x1000",
    "- {pe: C0, call: VERSION, args: [5], expect_registers: {x1: 6}}": (
        "expected x1 0x6, came x1 0x5"
    ),
    "- {pe: C0, call: VERSION, expect_count: {SUCCESS: 1}}": "expected 1 times SUCCESS, came 0",
    "- {pe: C0, call: SYSTEM_OFF, save: v}": "expected that it returns, came no-return",
    UP + "- {pe: [C0, C1], call: CPU_ON, args: [C2, $entry], at_once: true, expect: SUCCESS}": (
        "expected SUCCESS, came"
    ),
    "- {pe: C1, call: VERSION}": "steps[0]: C1 is not running: it has no power",
    "- {pe: C1, mask_irq: true}": "C1 is not running",
    "- {sgi: 1, from: C1, to: [C0]}": "C1 is not running",
    "- {pe: C1, timer_ms: 1, intid: 27}": "C1 is not running",
    "- {pe: C1, memory: GICD, expect: 0}": "C1 is not running",
    UP + "- {pe: C1, call: CPU_OFF}\n- {pe: C1, call: VERSION}": "steps[3]: C1 is not running",
    "- {pe: C0, poll: AFFINITY_INFO, args: [C1, 0], until: ON, allow: OFF, within_ms: 5}": (
        "expected ON within 5 ms, came 1"
    ),
    "- {pe: C0, poll: AFFINITY_INFO, args: [C1, 0], until: ON}": "expected ON, came 1",
    "- {pe: C1, enters: {}, within_ms: 5}": "expected to enter with any registers within 5 ms",
    "- {pe: C0, call: CPU_ON, args: [C1, $entry, 7]}\n- {pe: C1, enters: {x0: 8}, within_ms: 5}": (
        "expected to enter with x0 0x8 within 5 ms, came an entry with x0 0x7"
    ),
    "- {pe: C0, call: CPU_ON, args: [C1, $entry, 7]}\n- {pe: C1, enters: {x1: 0}, within_ms: 5}": (
        "came an entry with x1 0xdeadbeef00000001"
    ),
    "- {pe: C0, call: CPU_ON, args: [C1, $entry+8, 7]}\n- {pe: C1, enters: {}, within_ms: 5}": (
        "came an entry at 0x80001008 with x0 0x7"
    ),
    UP + "- {pe: C1, enters: {}, within_ms: 5}": "came no entry; it is running",
    UP + "- {pe: C1, entries: 0}": "expected 0 entries, came 1",
    "- {pe: C1, entries: 1}": "expected 1 entries, came 0",
    "- {pe: C0, returns: SUCCESS, within_ms: 5}": "to return SUCCESS within 5 ms, came no-return",
    "- {pe: C0, call: SYSTEM_SUSPEND, args: [$entry, 3]}\n"
    "- {pe: C0, resumes: {}, within_ms: 50}": "came no entry; it has no power",
    "- {pe: C0, call: CPU_ON, args: [C0, $entry]}\n- {pe: C0, resumes: {}, within_ms: 5}": (
        "its call returned ALREADY_ON (-4)"
    ),
    "- {irq: {intid: 40, target: C0}}\n- {pe: C0, taken: {intid: 40}, within_ms: 5}": (
        "expected INTID 40 to be taken 1 times within 5 ms, came 0"
    ),
    "- {pe: C0, mask_irq: false}\n- {irq: {intid: 40, target: C0}}\n"
    "- {pe: C0, taken: {intid: 40, times: 0}}": "to be taken 0 times within 1000 ms, came 1",
    "- {pe: C0, mask_irq: false}\n- {sgi: 1, from: C0, to: [C0]}\n"
    "- {pe: C0, taken: {intid: 1, from: C1}, within_ms: 5}": "INTID 1 from C1 to be taken 1 times",
    "- {pe: C0, mask_irq: false}\n- {pe: C0, timer_ms: 10, intid: 27}\n"
    "- {pe: C0, taken: {intid: 27}, within_ms: 5}": "expected INTID 27 to be taken 1 times",
    "- {pe: C0, mask_irq: false}\n- {pe: C0, timer_ms: 10, intid: 50}\n"
    "- {pe: C0, taken: {intid: 50}, within_ms: 5}": "expected INTID 50 to be taken 1 times",
    "- {memory: 0x80001000, expect: 1}": "0x80001000: expected 1, came 0x0",
    "- {memory: 0x80001000, expect: 1, mask: 0xFF}": "expected 1 under the mask 0xff, came 0x0",
    "- {memory: 0x80001000, at_least: 1}": "expected at least 1, came 0x0",
    "- {pe: C0, memory: GICD+0x001, width: 4, expect: 0}": "C0 took an abort: no 4-byte access",
    "- {pe: C0, memory: 0x1000, expect: 0}": "C0 took an abort: nothing answers at 0x1000",
    "- {memory: 0x80001004, width: 8, expect: 0}": "8 bytes at 0x80001004 lie in two cells",
    "- {memory: 0xFFFC0000, expect: 0}": "secure SRAM, closed to operator",
    UP + "- {pe: C1, call: SYSTEM_RESET}\n- {system: cold-boot}\n"
    "- {pe: C1, enters: {}, within_ms: 5}": "came no entry; it has no power",
    "- {memory: 0x80001000, write: $winner}": "$winner: no call has returned SUCCESS yet",
    "- {memory: 0x80001000, write: $self}": "$self: the step has no PE",
    "- {memory: 0x80001000, write: $v}\n- {pe: C0, call: VERSION, save: v}": "$v: nothing has been",
    "- repeat: 3\n  steps:\n    - {memory: 0x80001000, write: $round}\n"
    "    - {memory: 0x80001000, expect: 0}": "steps[0].steps[1]: 0x80001000: expected 0, came 0x1",
    "- at_once:\n    - {pe: C0, call: VERSION}\n"
    "    - {steps: [{wait_ms: 1}, {pe: C1, entries: 1}]}": (
        "steps[0].at_once[1].steps[1]: C1: expected 1 entries, came 0"
    ),
    "- {pe: C1, hold: true}\n- {pe: C0, call: CPU_ON, args: [C1, $entry]}\n"
    "- {pe: C1, enters: {}, within_ms: 50}": "came no entry; it has no power",
    "- {system: powered-off, within_ms: 5}": "expected powered-off within 5 ms, came nothing",
    "- {pe: C0, call: SYSTEM_RESET}\n- {system: warm-boot, within_ms: 50}": "expected warm-boot",
    "- {pe: C0, call: SYSTEM_RESET2}\n- {system: cold-boot, within_ms: 50}": "expected cold-boot",
}


@pytest.mark.parametrize("steps", FAILING)
def test_a_case_that_is_wrong_fails_and_says_why(steps: str, tmp_path: Path) -> None:
    """With its place and what came instead."""
    result = play(steps, tmp_path)

    assert result.status is Status.FAILED
    assert FAILING[steps] in result.reason


def test_the_position_leads_to_the_turn_that_decided(tmp_path: Path) -> None:
    """In the journal of the case."""
    from bus.journal import read_journal
    from proto.traces import ScenarioEnded
    from proto.turn import Trace, Turn

    result = play("- {pe: C1, entries: 1}", tmp_path)
    turn = read_journal(result.journal).records[result.position]

    assert isinstance(turn, Turn)
    assert Trace(ScenarioEnded("failed", result.reason)) in turn.effects


def test_a_call_that_hangs_is_no_return_only_when_all_timers_are_over(tmp_path: Path) -> None:
    """The comparator fires long after the time in which boards come to rest."""
    timer = "- {pe: C0, timer_ms: 5000, intid: 27}\n"
    standby = "- {pe: C0, call: CPU_SUSPEND, args: [0], expect: %s}"

    woken = play(timer + standby % "SUCCESS", tmp_path)
    alone = play(standby % "no-return", tmp_path)
    wrong = play(timer + standby % "no-return", tmp_path)

    assert [woken.status, alone.status, wrong.status] == ["passed", "passed", "failed"]


def test_a_call_may_wait_for_another_thread(tmp_path: Path) -> None:
    """What steps that begin together will still do is not over."""
    steps = UP + (
        "- at_once:\n"
        "    - {pe: C1, call: CPU_SUSPEND, args: [0], expect: SUCCESS}\n"
        "    - {steps: [{wait_ms: 9000}, {sgi: 1, from: C0, to: [C1]}]}"
    )

    assert play(steps, tmp_path).status is Status.PASSED


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_seed_gives_the_same_journal(seed: int, tmp_path: Path) -> None:
    """To the byte."""
    steps = UP + "- {pe: [C0, C1], call: CPU_ON, args: [C2, $entry, $self], at_once: true}"
    first = play(steps, tmp_path, seed=seed).journal.read_bytes()

    assert play(steps, tmp_path, seed=seed).journal.read_bytes() == first
