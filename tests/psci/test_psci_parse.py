"""Vector files: what they mean, and that a malformed one is refused with its place."""

from pathlib import Path

import pytest
from vector_bench import FILE, case_text, cases_of

from deploy.loading import UsageError
from deploy.psci.parse import read_cases, read_file
from proto.platform import PowerStateFormat
from proto.vectors import (
    Base,
    Call,
    Enters,
    Loop,
    MaskIrq,
    Memory,
    Poll,
    RaiseIrq,
    Taken,
    Together,
    entry_address,
    shared_interrupts,
)

PAGE = """
platform:
  clusters: [2, 2]
  ram: [[0x80000000, 0x10000000]]
  absent: [MIGRATE, STAT_COUNT]
  power_state_format: extended
  power_states:
    0x00000000: [standby]
    0x40000023: [power-down, standby]
    0x40000033: [power-down, power-down]
cases:
  - id: cpu-on-then-already-on
    source: free text
    steps:
      - {pe: C0, call: CPU_ON, args: [C1, $entry, 0x1234], expect: SUCCESS}
      - {pe: C1, enters: {x0: 0x1234}, within_ms: 1000}
      - {pe: C0, poll: AFFINITY_INFO, args: [C1, 0], until: 'OFF', allow: ['ON'], within_ms: 1000}
      - {pe: C0, call: 0x84000099, expect: NOT_SUPPORTED}
  - id: own-platform
    platform: {clusters: [[1, 1], [2, 1]]}
    steps:
      - {irq: {intid: 130, target: C4}}
      - repeat: 3
        steps:
          - at_once:
              - {pe: C0, call: CPU_OFF}
              - {steps: [{wait_ms: 1}, {pe: C1, hold: true}]}
"""


def steps_of(lines: str) -> tuple[object, ...]:
    """The steps of a case, parsed."""
    (found,) = cases_of(case_text(lines))
    return found.case.steps


def test_a_file_as_the_page_shows_it() -> None:
    """Platform, cases, steps and what they say."""
    first, second = cases_of(PAGE)

    assert first.platform.clusters == (2, 2)
    assert first.platform.absent == ("MIGRATE", "STAT_COUNT")
    assert first.platform.power_state_format is PowerStateFormat.EXTENDED
    assert list(first.platform.power_states or ()) == [0, 0x40000023, 0x40000033]
    assert first.case.source == "free text"
    call, enters, poll, number = first.case.steps
    assert isinstance(call, Call)
    assert call.invocation.function == 0xC4000003
    assert [value.base for _, value in call.invocation.registers] == [
        Base.MPIDR,
        Base.ENTRY,
        Base.ZERO,
    ]
    assert isinstance(enters, Enters)
    assert (enters.pe, enters.within_ms) == (1, 1000)
    assert isinstance(poll, Poll)
    assert [result.text for result in (*poll.until, *poll.allow)] == ["OFF", "ON"]
    assert isinstance(number, Call)
    assert number.invocation.function == 0x84000099
    assert second.platform.pes == 5


def test_a_case_s_platform_replaces_the_file_s_whole() -> None:
    """Nothing of the file's block is left in it."""
    _, second = cases_of(PAGE)

    assert second.platform.absent == ()
    assert second.platform.power_states is None


def test_without_a_platform_there_are_two_clusters_of_two() -> None:
    """The default of the page."""
    (found,) = cases_of(case_text("- {wait_ms: 1}"))

    assert found.platform.clusters == (2, 2)


def test_the_gic_has_room_for_the_interrupts_and_all_can_wake() -> None:
    """INTID 130 needs 160 interrupts."""
    _, second = cases_of(PAGE)

    assert second.platform.intids == 160
    assert second.platform.wake_sources == (130,)
    assert shared_interrupts(second.case) == {130: 4}


def test_steps_inside_steps_know_their_place() -> None:
    """As a report names it."""
    _, second = cases_of(PAGE)
    loop = second.case.steps[1]

    assert isinstance(loop, Loop)
    (together,) = loop.steps
    assert isinstance(together, Together)
    assert together.place == "steps[1].steps[0]"
    assert together.threads[1][1].place == "steps[1].steps[0].at_once[1].steps[1]"


def test_on_and_off_may_be_booleans_of_yaml() -> None:
    """In every place where a result stands."""
    (call,) = steps_of("- {pe: C0, call: AFFINITY_INFO, expect: [ON, OFF], expect_count: {ON: 1}}")

    assert isinstance(call, Call)
    assert [result.text for result in call.expect] == ["ON", "OFF"]
    assert call.expect_count[0][0].text == "ON"


def test_on_pending_is_a_code_or_a_state() -> None:
    """-5 of CPU_ON, 2 of AFFINITY_INFO, by name or number."""
    steps = steps_of(
        """
        - {pe: C0, call: CPU_ON, expect: ON_PENDING}
        - {pe: C0, call: AFFINITY_INFO, expect: ON_PENDING}
        - {pe: C0, call: 0x84000004, expect: ON_PENDING}
        """.replace("        ", "")
    )

    assert [step.expect[0].value.plus for step in steps if isinstance(step, Call)] == [  # type: ignore[union-attr]
        (1 << 64) - 5,
        2,
        2,
    ]


@pytest.mark.parametrize(("smc32", "function"), [("", 0xC400000E), (", smc32: true", 0x8400000E)])
def test_a_name_means_the_64_bit_form(smc32: str, function: int) -> None:
    """Unless the step wants the other."""
    (call,) = steps_of(f"- {{pe: C0, call: SYSTEM_SUSPEND{smc32}}}")

    assert isinstance(call, Call)
    assert call.invocation.function == function


def test_args_win_over_registers() -> None:
    """Both stand for x1."""
    (call,) = steps_of("- {pe: C0, call: CPU_ON, args: [1], registers: {x1: 5, x9: 6}}")

    assert isinstance(call, Call)
    assert [(number, value.plus) for number, value in call.invocation.registers] == [(1, 1), (9, 6)]


def test_values_may_be_sums() -> None:
    """Of a place and a number, with or without spaces."""
    (memory,) = steps_of("- {pe: C0, memory: GICD+0x820, width: 4, expect: 'C1 + 2', mask: 0xFF}")

    assert isinstance(memory, Memory)
    assert memory.address.plus == 0xF9010820
    assert memory.mask == 0xFF
    assert memory.expect[0].value is not None
    assert (memory.expect[0].value.base, memory.expect[0].value.plus) == (Base.MPIDR, 2)


def test_a_list_of_pes_is_one_step_for_each() -> None:
    """Where a step is about one PE."""
    steps = steps_of("- {pe: [C0, C2], mask_irq: false}")

    assert [step.pe for step in steps if isinstance(step, MaskIrq)] == [0, 2]


def test_defaults_of_taken_and_irq() -> None:
    """Once, by anybody, within a second."""
    irq, taken = steps_of("- {irq: {intid: 40, target: C0}}\n- {pe: C0, taken: {intid: 40}}")

    assert isinstance(irq, RaiseIrq)
    assert isinstance(taken, Taken)
    assert (taken.times, taken.source, taken.within_ms) == (1, None, 1000)


STEP_ERRORS = {
    "- {pe: C0}": "steps[0]: expected exactly one of call",
    "- {pe: C0, call: VERSION, wait_ms: 1}": "steps[0]: expected exactly one of",
    "- 5": "steps[0]: expected a step, got 5",
    "- {pe: C0, call: CPU_BOOT}": "steps[0].call: expected a function id or one of VERSION",
    "- {pe: C0, call: -1}": "steps[0].call: expected a function id",
    "- {call: VERSION}": "steps[0].pe: expected a PE from C0 to C3, got nothing",
    "- {pe: C4, call: VERSION}": "steps[0].pe: expected a PE from C0 to C3, got 'C4'",
    "- {pe: [C0, C0], call: VERSION}": "steps[0].pe: expected each PE once",
    "- {pe: [], call: VERSION}": "steps[0].pe: expected a PE or a list of PEs",
    "- {pe: C0, call: VERSION, arg: [1]}": "steps[0]: expected only pe, call, smc32",
    "- {pe: C0, call: VERSION, args: 1}": "steps[0].args: expected a list of at most 17 values",
    "- {pe: C0, call: VERSION, args: [C9]}": "steps[0].args[0]: expected a PE from C0",
    "- {pe: C0, call: VERSION, args: [here]}": "steps[0].args[0]: expected a value",
    "- {pe: C0, call: VERSION, args: [$x]}": "steps[0].args[0]: expected one of $entry, $self",
    "- {pe: C0, call: VERSION, args: [C1-1]}": "steps[0].args[0]: expected a value",
    "- {pe: C0, call: VERSION, args: [0x10000000000000000]}": "expected a number of 64 bits",
    "- {pe: C0, call: VERSION, args: [1.5]}": "steps[0].args[0]: expected a value",
    "- {pe: C0, call: VERSION, args: [true]}": "steps[0].args[0]: expected a value",
    "- {pe: C0, call: VERSION, registers: {x0: 1}}": "steps[0].registers: expected a mapping",
    "- {pe: C0, call: VERSION, registers: {x31: 1}}": "steps[0].registers: expected a mapping",
    "- {pe: C0, call: VERSION, expect: GREAT}": "steps[0].expect: expected a value, no-return",
    "- {pe: C0, call: VERSION, expect: []}": "steps[0].expect: expected a result or a list",
    "- {pe: C0, call: VERSION, expect_count: {SUCCESS: 2}}": "expected a number from 0 to 1",
    "- {pe: C0, call: VERSION, smc32: 1}": "steps[0].smc32: expected true or false, got 1",
    "- {pe: C0, call: VERSION, save: entry}": "steps[0].save: expected a name",
    "- {pe: C0, call: VERSION, save: 5}": "steps[0].save: expected a name",
    "- {pe: C0, call: VERSION, at_once: maybe}": "steps[0].at_once: expected true or false",
    "- {pe: C0, poll: VERSION}": "steps[0].until: expected",
    "- {pe: C0, enters: 5}": "steps[0].enters: expected a mapping of registers",
    "- {pe: C0, enters: {}, within_ms: -1}": "steps[0].within_ms: expected a number from 0",
    "- {pe: C0, entries: x}": "steps[0].entries: expected a number from 0",
    "- {pe: C0, mask_irq: off, x: 1}": "steps[0]: expected only mask_irq, pe, got 'x'",
    "- {irq: {intid: 31, target: C0}}": "steps[0].irq.intid: expected a number from 32",
    "- {irq: {intid: 40}}": "steps[0].irq.target: expected a PE",
    "- {irq: {intid: 40, target: C0, edge: true}}": "steps[0].irq: expected only intid, target",
    "- {sgi: 16, from: C0, to: [C1]}": "steps[0].sgi: expected a number from 0 to 15",
    "- {sgi: 1, to: [C1]}": "steps[0].from: expected a PE",
    "- {pe: C0, timer_ms: 5, intid: 29}": "steps[0].intid: expected a number from 32",
    "- {pe: C0, taken: {}}": "steps[0].taken.intid: expected a number",
    "- {memory: 0x80000000}": "steps[0]: expected one of write, expect, at_least, save",
    "- {memory: 0x80000000, write: 1, expect: 1}": "steps[0]: expected either write",
    "- {memory: 0x80000000, width: 3, write: 1}": "steps[0].width: expected 1, 2, 4 or 8 bytes",
    "- {wait_ms: soon}": "steps[0].wait_ms: expected a number",
    "- {system: asleep}": "steps[0].system: expected one of cold-boot, warm-boot, powered-off",
    "- {repeat: 0, steps: [{wait_ms: 1}]}": "steps[0].repeat: expected a number from 1",
    "- {repeat: 2}": "steps[0].steps: expected a list of steps, got nothing",
    "- {at_once: []}": "steps[0].at_once: expected a list of steps",
    "- {at_once: [{wait_ms: 1}, {steps: []}]}": "steps[0].at_once[1].steps: expected a list",
    "- {repeat: 1000, steps: [{repeat: 1000, steps: [{wait_ms: 1}]}]}": "expected at most 100000",
}


@pytest.mark.parametrize("lines", STEP_ERRORS)
def test_a_malformed_step_is_refused_with_its_place(lines: str) -> None:
    """File, case, step, what was expected, what was there; one line."""
    with pytest.raises(UsageError) as refused:
        read_cases(case_text(lines), FILE)

    text = str(refused.value)
    assert text.startswith(f"{FILE}: case one: ")
    assert STEP_ERRORS[lines] in text
    assert "\n" not in text


FILE_ERRORS = {
    "": "file.yaml: expected a mapping of platform and cases, got None",
    "cases: [": "file.yaml: at line 1",
    "cases: []": "at cases: expected a list of cases",
    "cases: [{steps: [{wait_ms: 1}]}]": "at cases[0].id: expected a text, got nothing",
    "cases: [{id: '', steps: [{wait_ms: 1}]}]": "at cases[0].id: expected one line of text",
    "cases: [{id: a}]": "case a: at steps: expected a list of steps, got nothing",
    "cases: [{id: a, steps: [{wait_ms: 1}], x: 1}]": "case a: expected only id, source",
    "cases: [{id: a, source: [5], steps: [{wait_ms: 1}]}]": "case a: at source: expected a text",
    "cases: [{id: a, steps: [{wait_ms: 1, wait_ms: 2}]}]": "the key 'wait_ms' stands twice",
    "cases: [{id: a, steps: [{wait_ms: 1}]}, {id: a, steps: [{wait_ms: 1}]}]": "no other case has",
    "{extra: 1, cases: [{id: a, steps: [{wait_ms: 1}]}]}": "expected only platform, cases",
    "{5: 1, cases: []}": "expected keys that are words, got 5",
}


@pytest.mark.parametrize("text", FILE_ERRORS)
def test_a_malformed_file_is_refused_as_a_whole(text: str) -> None:
    """Whatever else stands in it."""
    with pytest.raises(UsageError) as refused:
        read_cases(text, FILE)

    assert FILE_ERRORS[text] in str(refused.value)


PLATFORM_ERRORS = {
    "{clusters: []}": "platform.clusters: expected a list of clusters",
    "{clusters: [2, [1, 1]]}": "platform.clusters: expected lists that are equally deep",
    "{clusters: [0]}": "platform.clusters[0]: expected a number of PEs",
    "{clusters: [5, 5]}": "platform: expected a platform that can be: ",
    "{ram: [[1]]}": "platform.ram[0]: expected [base, size] in 64 bits",
    "{ram: [[0x80000000, 0]]}": "platform.ram[0]: expected [base, size] in 64 bits",
    "{absent: [CPU_ON]}": "platform.absent[0]: expected one of",
    "{absent: SYSTEM_SUSPEND}": "platform.absent: expected a list of functions",
    "{power_state_format: new}": "power_state_format: expected one of original, extended",
    "{power_states: {0: [asleep]}}": "platform.power_states.0x0: expected one of run, standby",
    "{power_states: {0: []}}": "platform.power_states.0x0: expected a list of local states",
    "{power_states: {x: [standby]}}": "platform.power_states: expected a power_state of 32 bits",
    "{power_states: {0: [power-down, power-down, power-down, power-down]}}": "that can be",
    "{cores: 4}": "platform: expected only clusters, ram, absent",
    "4": "platform: expected a mapping, got 4",
}


@pytest.mark.parametrize("platform", PLATFORM_ERRORS)
def test_a_platform_that_cannot_be_is_refused(platform: str) -> None:
    """In the file's block and in a case's."""
    inside = f"cases: [{{id: a, platform: {platform}, steps: [{{wait_ms: 1}}]}}]"
    for text in (case_text("- {wait_ms: 1}", platform), inside):
        with pytest.raises(UsageError) as refused:
            read_cases(text, FILE)

        assert PLATFORM_ERRORS[platform] in str(refused.value)


@pytest.mark.parametrize(
    ("ram", "entry"),
    [
        ("[[0x80000000, 0x10000000]]", 0x80001000),
        ("[[0x40000000, 0x1000]]", 0x40000000),
        ("[[0x801FF000, 0x100000]]", 0x801FF000),
        ("[[0x40000003, 0x10]]", 0x40000008),
    ],
)
def test_the_entry_lies_in_the_ram(ram: str, entry: int) -> None:
    """Aligned, and not where PE 0 boots."""
    (found,) = cases_of(case_text("- {wait_ms: 1}", f"{{ram: {ram}}}"))

    assert entry_address(found.platform) == entry


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, not text."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="expected UTF-8 text at byte 0"):
        read_file(tmp_path / "binary.yaml")
