"""The firmware's clauses of PSCI, on hand-made journals."""

from typing import Any

import pytest
from hand_made import CPU_OFF, SYSTEM_SUSPEND, Script, texts

from proto.messages import Eret, PointReached, PointRelease, PowerHold, PowerOn, Smc, SmcReturn
from proto.psci import Psci, PsciError, to_register
from proto.traces import AffinityState, PePower
from proto.turn import MessageId
from proto.units import S

ENTRY, CONTEXT = 0x4020_0000, 0x55


def booted() -> Script:
    """Both PEs up, and time enough for every state to have reached memory."""
    script = Script()
    script.boot()
    settle(script)
    return script


def settle(script: Script, time_ns: int = 10_000_000) -> None:
    """Let board time pass."""
    script.now += time_ns


def call(script: Script, cpu: int, function: int, *args: int) -> None:
    """An SMC of a PE arrives at its firmware."""
    three: Any = (*args, 0, 0, 0)[:3]
    script.message(f"pe{cpu}", f"el3.pe{cpu}", Smc(1, function, three))


def answer(script: Script, cpu: int, code: int) -> int:
    """The firmware returns; gives the position."""
    script.send(f"el3.pe{cpu}", f"pe{cpu}", SmcReturn(1, (to_register(code), 0, 0, 0)))
    return len(script.records) - 1


def publish(script: Script, by: int, cpu: int, state: str) -> int:
    """The firmware of a PE publishes a state."""
    return script.trace(f"el3.pe{by}", AffinityState(cpu, state))


def enter(script: Script, cpu: int, entry: int = ENTRY, x0: int = CONTEXT) -> MessageId:
    """The firmware of a PE enters the hypervisor."""
    return script.send(f"el3.pe{cpu}", f"pe{cpu}", Eret(entry, x0))


def off(script: Script) -> None:
    """CPU1 goes off, as it should."""
    call(script, 1, CPU_OFF)
    publish(script, 1, 1, "OFF")
    script.trace("pe1", PePower(False))
    settle(script)


def on(script: Script, code: int = PsciError.SUCCESS) -> None:
    """CPU0 starts CPU1, up to the answer."""
    call(script, 0, Psci.CPU_ON, 1, ENTRY, CONTEXT)
    publish(script, 0, 1, "ON_PENDING")
    script.send("el3.pe0", "scp", PowerOn(1, 1))
    answer(script, 0, code)


def arrive(script: Script, entry: int = ENTRY, x0: int = CONTEXT) -> None:
    """CPU1 gets power and enters."""
    script.trace("pe1", PePower(True, "POWER_ON_REQUEST"))
    publish(script, 1, 1, "ON")
    enter(script, 1, entry, x0)


def ended(script: Script, name: str, later_ns: int = 2 * S) -> list[str]:
    """The texts of a property's findings, at the end of a long run."""
    settle(script, later_ns)
    script.end()
    return texts(script.judged(), name)


def test_a_pe_that_goes_off_and_on_violates_nothing() -> None:
    """Each property was reached, and holds."""
    script = booted()
    off(script)
    call(script, 0, Psci.AFFINITY_INFO, 1)
    answer(script, 0, 1)
    on(script)
    arrive(script)
    settle(script, 2 * S)
    script.end()

    verdict = script.judged()

    held = {name: verdict.properties[name] for name in verdict.properties if "psci_" in name}
    assert held.pop("psci_feat") == "not reached"
    assert set(held.values()) == {"pass"}


@pytest.mark.parametrize(
    ("by", "state", "text"),
    [
        (0, "ON_PENDING", "CPU1 went from ON to ON_PENDING, published by el3.pe0"),
        (1, "ON", "CPU1 went from ON to ON, published by el3.pe1"),
        (
            0,
            "OFF",
            "CPU1 went from ON to OFF: published by el3.pe0, but that is for its own firmware",
        ),
    ],
)
def test_an_illegal_change_of_state_is_a_violation(by: int, state: str, text: str) -> None:
    """OFF, ON_PENDING, ON and OFF again, each by whose firmware it is for."""
    script = booted()
    at = publish(script, by, 1, state)
    script.end()

    verdict = script.judged()

    assert texts(verdict, "psci_state") == [text]
    finding = next(one for one in verdict.findings if one.property == "psci_state")
    assert at in finding.positions


def test_a_start_that_gets_no_power_is_off_again() -> None:
    """The caller's firmware takes ON_PENDING back, and nothing is owed."""
    script = booted()
    off(script)
    call(script, 0, Psci.CPU_ON, 1, ENTRY, CONTEXT)
    publish(script, 0, 1, "ON_PENDING")
    publish(script, 0, 1, "OFF")
    answer(script, 0, PsciError.INTERNAL_FAILURE)

    assert ended(script, "psci_state") == []
    assert texts(script.judged(), "psci_on") == []


def test_a_reset_of_the_system_sets_all_states_anew() -> None:
    """The boot PE publishes OFF for all others, whatever they were."""
    script = booted()
    script.trace("pe0", PePower(False))
    script.trace("pe0", PePower(True, "COLD"))
    script.trace("el3.pe0", AffinityState(0, "ON"), AffinityState(1, "OFF"))
    enter(script, 0)

    assert ended(script, "psci_state") == []
    assert texts(script.judged(), "psci_on") == []


def test_power_before_on_pending_is_a_violation() -> None:
    """The woken PE might find itself OFF (TF-A 42cae5a16)."""
    script = booted()
    off(script)
    call(script, 0, Psci.CPU_ON, 1, ENTRY, CONTEXT)
    script.send("el3.pe0", "scp", PowerOn(1, 1))
    publish(script, 0, 1, "ON_PENDING")
    answer(script, 0, PsciError.SUCCESS)
    arrive(script)

    assert ended(script, "psci_state") == [
        "CPU1 was OFF when power was asked for it, not ON_PENDING"
    ]


def test_an_entry_of_a_pe_that_is_not_on_is_a_violation() -> None:
    """ON is published before the first instruction."""
    script = booted()
    off(script)
    on(script)
    script.trace("pe1", PePower(True, "POWER_ON_REQUEST"))
    enter(script, 1)

    assert ended(script, "psci_state") == ["CPU1 was ON_PENDING when it was entered, not ON"]


def test_an_entry_elsewhere_is_a_violation() -> None:
    """Both the entry point and x0 are the call's."""
    script = booted()
    off(script)
    on(script)
    arrive(script, entry=ENTRY + 4, x0=0)

    assert ended(script, "psci_on") == [
        f"CPU1 was entered with PC {ENTRY + 4:#x} instead of {ENTRY:#x}, x0 0x0 instead of 0x55"
    ]


def test_a_second_entry_is_a_violation() -> None:
    """One start, one entry."""
    script = booted()
    off(script)
    on(script)
    arrive(script)
    enter(script, 1)

    assert ended(script, "psci_on") == ["CPU1 was entered twice for one start"]


def test_an_entry_that_nobody_asked_for_is_a_violation() -> None:
    """Power alone earns none."""
    script = booted()
    off(script)
    arrive(script)

    assert ended(script, "psci_on") == ["CPU1 was entered, but nobody had asked for it"]


def test_a_start_that_never_comes_is_a_violation() -> None:
    """It is owed in a second."""
    script = booted()
    off(script)
    on(script)

    assert ended(script, "psci_on") == [
        "CPU1 had not been entered at the end, though CPU_ON had begun its start, "
        "1 s after it was due"
    ]


def test_a_young_start_is_undecided() -> None:
    """It may still come."""
    script = booted()
    off(script)
    on(script)
    script.end()

    assert script.judged().properties["psci_on"] == "inconclusive"


def test_what_the_bench_holds_up_is_not_owed() -> None:
    """A latch at the rail keeps the PE without power."""
    script = booted()
    off(script)
    script.send("operator", "scp", PowerHold(1, True))
    on(script)
    settle(script, 2 * S)
    script.end()

    assert script.judged().properties["psci_on"] == "pass"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (PsciError.ALREADY_ON, ""),
        (PsciError.ON_PENDING, "answered ON_PENDING, but the target was ON"),
        (PsciError.SUCCESS, "answered SUCCESS, but the target was ON"),
    ],
)
def test_cpu_on_of_a_pe_that_is_on(code: int, text: str) -> None:
    """ALREADY_ON is the only true answer."""
    script = booted()
    call(script, 0, Psci.CPU_ON, 1, ENTRY, CONTEXT)
    answer(script, 0, code)

    found = ended(script, "psci_on")

    assert [one.endswith(text) for one in found] == ([True] if text else [])


def test_two_calls_may_not_win_one_start() -> None:
    """A call that published nothing has started nothing."""
    script = booted()
    off(script)
    call(script, 1, Psci.CPU_ON, 1, ENTRY, 1)
    on(script)
    answer(script, 1, PsciError.SUCCESS)
    arrive(script)

    assert ended(script, "psci_on") == [
        "CPU_ON of CPU1 by CPU1 was answered SUCCESS, but started nothing"
    ]


@pytest.mark.parametrize("wrong", [False, True])
def test_a_resume_is_where_the_call_said(wrong: bool) -> None:
    """SYSTEM_SUSPEND's entry point and context_id."""
    script = booted()
    off(script)
    call(script, 0, SYSTEM_SUSPEND, ENTRY, CONTEXT)
    script.trace("pe0", PePower(False))
    script.trace("pe0", PePower(True, "WAKE"))
    enter(script, 0, ENTRY, 0 if wrong else CONTEXT)

    found = ended(script, "psci_on")

    assert found == (["CPU0 was entered with x0 0x0 instead of 0x55"] if wrong else [])


def test_cpu_off_returns_only_to_refuse() -> None:
    """SUCCESS is no answer of it."""
    script = booted()
    call(script, 1, CPU_OFF)
    answer(script, 1, PsciError.SUCCESS)

    assert ended(script, "psci_off") == ["CPU_OFF of CPU1 returned SUCCESS"]


@pytest.mark.parametrize("published", [False, True])
def test_a_refused_cpu_off_leaves_the_pe_on(published: bool) -> None:
    """OFF with a PE that runs on lets others start it twice (TF-A tf-issues#323)."""
    script = booted()
    call(script, 1, CPU_OFF)
    if published:
        publish(script, 1, 1, "OFF")
    answer(script, 1, PsciError.DENIED)

    found = ended(script, "psci_off")

    assert found == (
        ["CPU_OFF of CPU1 was DENIED, but OFF was published for it"] if published else []
    )


def test_power_lost_without_off_is_a_violation() -> None:
    """Nobody could ever start it again."""
    script = booted()
    call(script, 1, CPU_OFF)
    script.trace("pe1", PePower(False))

    assert ended(script, "psci_off") == [
        "CPU1 lost its power in CPU_OFF, but OFF was never published for it"
    ]


def test_a_cpu_off_that_never_ends_is_a_violation() -> None:
    """Unless the bench holds it up."""
    script = booted()
    call(script, 1, CPU_OFF)
    late = "CPU1 was still inside CPU_OFF at the end, 1 s after it was due"
    assert ended(script, "psci_off") == [late]

    held = booted()
    call(held, 1, CPU_OFF)
    held.send("el3.pe1", "operator", PointReached(2, "el3.CPU_OFF pe1"))
    settle(held, 3 * S)
    held.message("operator", "el3.pe1", PointRelease(2))
    settle(held, S // 2)
    assert ended(held, "psci_off", 0) == []
    assert held.judged().properties["psci_off"] == "not reached"


@pytest.mark.parametrize(("code", "found"), [(0, True), (1, False), (2, True), (-2, False)])
def test_affinity_info_of_a_pe_that_is_off(code: int, found: bool) -> None:
    """Errors say nothing about the state."""
    script = booted()
    off(script)
    call(script, 0, Psci.AFFINITY_INFO, 1)
    answer(script, 0, code)

    assert bool(ended(script, "psci_info")) is found


def test_affinity_info_may_see_either_side_of_a_change() -> None:
    """A change during the call, or one that has only just been published."""
    for code in (0, 1):
        script = booted()
        call(script, 1, CPU_OFF)
        publish(script, 1, 1, "OFF")
        call(script, 0, Psci.AFFINITY_INFO, 1)
        script.trace("pe1", PePower(False))
        answer(script, 0, code)

        assert ended(script, "psci_info") == []


@pytest.mark.parametrize(
    ("said", "code", "found"),
    [
        (0, PsciError.NOT_SUPPORTED, ["is there, but it answered NOT_SUPPORTED"]),
        (PsciError.NOT_SUPPORTED, PsciError.DENIED, ["is not there, but it answered DENIED"]),
        (0, PsciError.DENIED, []),
        (PsciError.NOT_SUPPORTED, PsciError.NOT_SUPPORTED, []),
    ],
)
def test_features_tell_what_calls_do(said: int, code: int, found: list[str]) -> None:
    """What is reported is there, and nothing else."""
    script = booted()
    call(script, 0, Psci.FEATURES, Psci.SYSTEM_SUSPEND)
    answer(script, 0, said)
    call(script, 0, SYSTEM_SUSPEND, ENTRY, CONTEXT)
    answer(script, 0, code)

    texts_found = ended(script, "psci_feat")

    assert [text.split("0xc400000e ")[1] for text in texts_found] == found


def test_other_worlds_have_other_rules() -> None:
    """PSCI is for the Non-secure world: a Secure caller's answers are not judged."""
    script = booted()
    smc = Smc(1, Psci.CPU_OFF, (0, 0, 0), secure=True)
    script.message("pe1", "el3.pe1", smc)
    answer(script, 1, PsciError.SUCCESS)

    assert ended(script, "psci_off") == []


def test_what_others_forge_is_not_the_firmwares() -> None:
    """The hub refuses it, so no power comes of it, nobody is entered, and no call has returned."""
    script = booted()

    script.send("dom2", "scp", PowerOn(1, 1))
    script.send("dom2", "pe1", Eret(ENTRY, CONTEXT))
    script.send("dom2", "pe0", SmcReturn(1, (0, 0, 0, 0)))
    verdict = script.judged()

    for name in ("psci_state", "psci_on", "psci_off", "psci_info", "psci_feat"):
        assert texts(verdict, name) == []
