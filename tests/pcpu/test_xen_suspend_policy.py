"""The policy of the 2026-06 series: who is parked, who suspends the host, who is refused."""

from collections.abc import Sequence

import msgspec
import pytest
from xen_bench import Bench, board

from proto.board import Board
from proto.hypercall import ShutdownReason
from proto.ids import DomainId
from proto.platform import ConsoleDriver, IommuDriver
from proto.psci import PsciError
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import domain_shutdown
from services.pcpu.xen.suspend_policy import Policy, suspend_policy, suspend_policy_unchecked


def controlled(*control: bool, **platform: object) -> Board:
    """A board with one domain per flag: whether it is a control domain."""
    plain = board(1, (1,) * len(control))
    domains = tuple(
        msgspec.structs.replace(spec, control=flag)
        for spec, flag in zip(plain.scenario.domains, control, strict=True)
    )
    return msgspec.structs.replace(
        plain,
        scenario=msgspec.structs.replace(plain.scenario, domains=domains),
        platform=msgspec.structs.replace(plain.platform, **platform),
    )


def decided(
    of: Board,
    caller: int,
    down: Sequence[tuple[int, ShutdownReason]] = (),
    firmware: int = PsciError.SUCCESS,
) -> tuple[Policy, str]:
    """The decision on a domain's call while others are down for these reasons."""
    decisions: list[tuple[Policy, str]] = []

    async def program(pe: Pe) -> None:
        for domain, reason in down:
            await domain_shutdown(pe, DomainId(domain), reason)
        decisions.append(await suspend_policy(pe, pe.xen.vcpus_of(caller)[0]))

    Bench(program, of=of, smc=lambda function, args: firmware)
    return decisions[0]


SUSPEND, POWEROFF = ShutdownReason.SUSPEND, ShutdownReason.POWEROFF


@pytest.mark.parametrize(
    ("control", "caller", "down", "decision"),
    [
        ((True, False), 1, [], Policy.PARKED),
        ((True, True), 0, [], Policy.PARKED),
        ((True, True), 1, [], Policy.PARKED),
        ((True, True), 0, [(1, SUSPEND)], Policy.HOST),
        ((True, False), 0, [(1, SUSPEND)], Policy.HOST),
        ((True, False), 0, [], Policy.DENIED),
        ((True, False), 0, [(1, POWEROFF)], Policy.DENIED),
        ((True, False, False), 0, [(2, SUSPEND)], Policy.DENIED),
        ((True,), 0, [], Policy.HOST),
    ],
)
def test_the_last_control_domain_that_is_awake_suspends_the_host(
    control: Sequence[bool],
    caller: int,
    down: Sequence[tuple[int, ShutdownReason]],
    decision: Policy,
) -> None:
    """If every other domain sleeps completely; everybody else is parked."""
    assert decided(controlled(*control), caller, down)[0] is decision


@pytest.mark.parametrize(
    ("platform", "why"),
    [
        ({"console": ConsoleDriver.PL011}, "pl011 driver"),
        ({"iommu": IommuDriver.SMMU}, "smmu driver"),
        ({"iommu": IommuDriver.SMMUV3, "iommu_msi": True}, "smmuv3 driver"),
        ({"iommu": IommuDriver.SMMUV3}, ""),
        ({"iommu": IommuDriver.NONE}, ""),
    ],
)
def test_a_driver_without_callbacks_keeps_the_host_awake(
    platform: dict[str, object], why: str
) -> None:
    """The refusal names it."""
    verdict, reason = decided(controlled(True, **platform), 0)

    assert verdict is (Policy.DENIED if why else Policy.HOST)
    assert why in reason


def test_firmware_must_have_the_call() -> None:
    """PSCI_FEATURES of the machine's firmware decides."""
    decision = decided(controlled(True), 0, firmware=PsciError.NOT_SUPPORTED)

    assert decision == (Policy.DENIED, "firmware has no SYSTEM_SUSPEND")


def test_the_2026_04_series_asks_afterwards() -> None:
    """A control domain's call is taken though another domain runs."""
    decisions: list[tuple[Policy, str]] = []

    async def program(pe: Pe) -> None:
        for domain in (0, 1):
            vcpu = pe.xen.vcpus_of(domain)[0]
            decisions.append(await suspend_policy_unchecked(pe, vcpu))

    Bench(program, of=controlled(True, False))
    assert [verdict for verdict, _ in decisions] == [Policy.HOST, Policy.PARKED]
