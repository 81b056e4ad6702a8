"""The clauses of PSCI that Xen owes its guests, on hand-made journals."""

import pytest
from hand_made import CPU_OFF, SYSTEM_SUSPEND, Script, texts
from hand_made_guests import CPU_ON, ENTRY, booted_with_guests

from proto.messages import VcpuRun
from proto.psci import Psci, PsciError
from proto.traces import VpsciCall, VpsciResult


def asked(script: Script, function: int, vcpu: int = 0, args: tuple[int, ...] = (1,)) -> int:
    """A vCPU of domain 1 calls; gives the position."""
    first, second, third = (*args, ENTRY, 0)[:3]
    return script.trace("pe0", VpsciCall(1, vcpu, function, (first, second, third)))


def told(script: Script, function: int, code: int, vcpu: int = 0) -> int:
    """Xen answers; gives the position."""
    return script.trace("pe0", VpsciResult(1, vcpu, function, code))


def call(script: Script, function: int, code: int, vcpu: int = 0, *args: int) -> None:
    """A call and its answer."""
    asked(script, function, vcpu, args or (1,))
    told(script, function, code, vcpu)


def found(script: Script) -> list[str]:
    """What the property says."""
    script.end()
    return texts(script.judged(), "vpsci")


def test_a_vcpu_that_goes_on_and_off_violates_nothing() -> None:
    """On, told so, off, told so, on again."""
    script = booted_with_guests()
    call(script, Psci.AFFINITY_INFO, 1)
    call(script, CPU_ON, PsciError.SUCCESS)
    call(script, CPU_ON, PsciError.ALREADY_ON)
    call(script, Psci.AFFINITY_INFO, 0)
    call(script, CPU_OFF, PsciError.SUCCESS, 1)
    call(script, Psci.AFFINITY_INFO, 1)
    call(script, CPU_ON, PsciError.SUCCESS)
    script.message("pe0", "dom1", VcpuRun(1, 1, (0, 0, 0, 0)))

    assert found(script) == []
    assert script.judged().properties["vpsci"] == "pass"


def test_a_second_success_is_a_violation() -> None:
    """A vCPU starts once for each time that it was off, however calls overlap."""
    script = booted_with_guests()
    asked(script, CPU_ON, 0)
    asked(script, CPU_ON, 1)
    told(script, CPU_ON, PsciError.SUCCESS, 0)
    told(script, CPU_ON, PsciError.SUCCESS, 1)

    assert found(script) == ["CPU_ON of domain 1 vCPU 1 was answered SUCCESS, but it was on"]


def test_the_loser_of_a_race_is_told_so() -> None:
    """Also if its answer comes first."""
    script = booted_with_guests()
    asked(script, CPU_ON, 0)
    asked(script, CPU_ON, 1)
    told(script, CPU_ON, PsciError.ALREADY_ON, 1)
    told(script, CPU_ON, PsciError.SUCCESS, 0)

    assert found(script) == []


def test_already_on_of_a_vcpu_that_is_off_is_a_violation() -> None:
    """Nobody had started it."""
    script = booted_with_guests()
    call(script, CPU_ON, PsciError.ALREADY_ON)

    assert found(script) == ["CPU_ON of domain 1 vCPU 1 was answered ALREADY_ON, but it was off"]


@pytest.mark.parametrize(("code", "text"), [(0, "ON, but it was off"), (1, "")])
def test_affinity_info_of_a_vcpu_that_is_off(code: int, text: str) -> None:
    """It has never been started."""
    script = booted_with_guests()
    call(script, Psci.AFFINITY_INFO, code)

    texts_found = found(script)

    assert [one.endswith(text) for one in texts_found] == ([True] if text else [])


def test_affinity_info_off_of_a_vcpu_that_is_on_is_a_violation() -> None:
    """The domain's first vCPU is on from its creation."""
    script = booted_with_guests()
    call(script, Psci.AFFINITY_INFO, 1, 0, 0)

    assert found(script) == ["AFFINITY_INFO said that domain 1 vCPU 0 was OFF, but it was on"]


def test_a_vcpu_that_runs_after_cpu_off_is_a_violation() -> None:
    """Nobody had called CPU_ON for it."""
    script = booted_with_guests()
    call(script, CPU_ON, PsciError.SUCCESS)
    asked(script, CPU_OFF, 1)
    at = told(script, CPU_OFF, PsciError.SUCCESS, 1)
    entered = script.message("pe0", "dom1", VcpuRun(1, 1, (0, 0, 0, 0)))
    script.end()

    verdict = script.judged()

    assert texts(verdict, "vpsci") == [
        "domain 1 vCPU 1 was entered after its CPU_OFF, but nobody had called CPU_ON for it"
    ]
    assert [one.positions for one in verdict.findings if one.property == "vpsci"] == [(at, entered)]


@pytest.mark.parametrize(
    ("said", "code", "violated"),
    [
        (0, PsciError.NOT_SUPPORTED, True),
        (PsciError.NOT_SUPPORTED, PsciError.DENIED, True),
        (0, PsciError.DENIED, False),
    ],
)
def test_features_tell_a_guest_what_calls_do(said: int, code: int, violated: bool) -> None:
    """Oleksandr Tyshchenko on v9 12/13: advertised, then not supported."""
    script = booted_with_guests()
    call(script, Psci.FEATURES, said, 0, SYSTEM_SUSPEND)
    call(script, SYSTEM_SUSPEND, code)

    assert bool(found(script)) is violated
