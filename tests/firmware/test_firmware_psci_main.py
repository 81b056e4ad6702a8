"""Function ids, argument widths, version and feature calls, AFFINITY_INFO."""

import pytest
from firmware_bench import BOOT, Bench, script
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proto.messages import Smc
from proto.platform import OPTIONAL, TrustedOs
from proto.psci import PSCI_1_3, SMCCC_1_1, Psci, PsciError, mpidr
from proto.smccc import SMCCC_ARCH_FEATURES, SMCCC_VERSION, SVE_HINT
from services.firmware.psci_main import SERVICES

JUNK = 0xDEAD_BEEF_0000_0000
NOT_SUPPORTED = PsciError.NOT_SUPPORTED
INVALID_PARAMETERS = PsciError.INVALID_PARAMETERS


def call(function: int, *args: int) -> int:
    """What the boot PE gets for one call, as a signed number."""

    def program(pe):
        yield (function, *args)

    return Bench({BOOT: program}).run().pes[0].codes[0]


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (Psci.VERSION, (), PSCI_1_3),
        (SMCCC_VERSION, (), SMCCC_1_1),
        (Psci.VERSION | SVE_HINT, (), PSCI_1_3),
        (JUNK | Psci.VERSION, (), PSCI_1_3),
        (Psci.FEATURES, (Psci.CPU_ON,), 0),
        (Psci.FEATURES, (Psci.CPU_ON_32,), 0),
        (Psci.FEATURES, (Psci.SYSTEM_SUSPEND,), 0),
        (Psci.FEATURES, (Psci.FEATURES,), 0),
        (Psci.FEATURES, (SMCCC_VERSION,), 0),
        (Psci.FEATURES, (JUNK | Psci.CPU_OFF,), 0),
        (Psci.FEATURES, (0x84000016,), NOT_SUPPORTED),
        (Psci.FEATURES, (0xC4000002,), NOT_SUPPORTED),
        (Psci.FEATURES, (SMCCC_ARCH_FEATURES,), NOT_SUPPORTED),
        (SMCCC_ARCH_FEATURES, (SMCCC_VERSION,), 0),
        (SMCCC_ARCH_FEATURES, (SMCCC_ARCH_FEATURES,), 0),
        (SMCCC_ARCH_FEATURES, (0x80008000,), NOT_SUPPORTED),
        (0x84000099, (), NOT_SUPPORTED),
        (0xC4000000, (), NOT_SUPPORTED),
        (0xFFFFFFFF, (), NOT_SUPPORTED),
        (0, (), NOT_SUPPORTED),
    ],
)
def test_versions_features_and_unknown_functions(function, args, expected):
    """Every implemented function is announced, and nothing else is."""
    assert call(function, *args) == expected


def test_unknown_function_is_sign_extended_and_leaves_x1_to_x3_alone():
    """NOT_SUPPORTED fills all of x0; the argument registers come back as they went."""

    def program(pe):
        yield 0x84000099, JUNK | 1, 2, 3

    bench = Bench({BOOT: program}).run()

    assert bench.pes[0].returns == [(0xFFFF_FFFF_FFFF_FFFF, JUNK | 1, 2, 3)]


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (Psci.AFFINITY_INFO, (mpidr(0, 0), 0), 0),
        (Psci.AFFINITY_INFO, (mpidr(1, 1), 0), 1),
        (Psci.AFFINITY_INFO_32, (JUNK | mpidr(0, 0), JUNK), 0),
        (Psci.AFFINITY_INFO, (mpidr(0, 0), JUNK), 0),
        (Psci.AFFINITY_INFO, (mpidr(0, 2), 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (mpidr(2, 0), 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (1 << 31, 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (1 << 24, 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (1 << 32, 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (1 << 40, 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO_32, (1 << 31, 0), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO, (mpidr(0, 0), 1), INVALID_PARAMETERS),
        (Psci.AFFINITY_INFO_32, (mpidr(0, 0), 3), INVALID_PARAMETERS),
    ],
)
def test_affinity_info(function, args, expected):
    """Level 0 of a PE that exists has a state; anything else is no parameter."""
    assert call(function, *args) == expected


def test_affinity_info_shows_on_pending():
    """Between the acceptance of CPU_ON and the entry the target is ON_PENDING."""

    def program(pe):
        yield Psci.CPU_ON, mpidr(1, 0), BOOT + 0x1000, 0
        yield Psci.AFFINITY_INFO, mpidr(1, 0), 0
        yield 300_000
        yield Psci.AFFINITY_INFO, mpidr(1, 0), 0

    bench = Bench({BOOT: program}, points={"el3.warm_boot pe2": (0, 50_000)}).run()

    assert bench.pes[0].codes == [0, 2, 0]


@pytest.mark.parametrize(
    ("smc", "expected"),
    [
        (Smc(0, Psci.AFFINITY_INFO, (0, 0, 0), aarch32=True), NOT_SUPPORTED),
        (Smc(0, Psci.AFFINITY_INFO_32, (0, 0, 0), aarch32=True), 0),
        (Smc(0, Psci.AFFINITY_INFO_32, (0, 0, 0), secure=True), NOT_SUPPORTED),
        (Smc(0, Psci.AFFINITY_INFO, (0, 0, 0), secure=True), NOT_SUPPORTED),
        (Smc(0, SMCCC_VERSION, (0, 0, 0), secure=True), SMCCC_1_1),
        (Smc(0, Psci.VERSION | 1 << 17, (0, 0, 0)), NOT_SUPPORTED),
        (Smc(0, Psci.VERSION | 1 << 23, (0, 0, 0)), NOT_SUPPORTED),
        (Smc(0, Psci.VERSION & ~(1 << 31), (0, 0, 0)), NOT_SUPPORTED),
        (Smc(0, Psci.VERSION | 1 << 24, (0, 0, 0)), NOT_SUPPORTED),
    ],
)
def test_who_calls_and_how(smc, expected):
    """PSCI is not for the Secure world, SMC64 not for AArch32, and reserved bits make other ids."""
    bench = Bench({BOOT: script(smc)}).run()
    assert bench.pes[0].codes == [expected]


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_absent_functions(name):
    """What a platform leaves out is neither announced nor there, in both conventions."""
    functions = [psci for psci in Psci if psci.name.removesuffix("_32") == name]
    calls = [call for fid in functions for call in ((Psci.FEATURES, fid), (fid,))]
    bench = Bench({BOOT: script(*calls)}, absent=(name,), trusted_os=TrustedOs.UP_MIGRATABLE).run()
    assert bench.pes[0].codes == [NOT_SUPPORTED] * len(calls)


@pytest.mark.parametrize("function", list(Psci))
def test_every_function_is_announced(function):
    """With a Trusted OS that needs MIGRATE, the whole table is there."""
    bench = Bench({BOOT: script((Psci.FEATURES, function))}, trusted_os=TrustedOs.UP_MIGRATABLE)
    assert bench.run().pes[0].codes[0] == {
        Psci.CPU_SUSPEND: 3,
        Psci.CPU_SUSPEND_32: 3,
        Psci.SYSTEM_OFF2: 1,
        Psci.SYSTEM_OFF2_32: 1,
    }.get(function, 0)


@given(
    st.integers(0, 2**64 - 1),
    st.tuples(*[st.integers(0, 2**64 - 1)] * 3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_unknown_functions_change_nothing(function, args, secure, aarch32):
    """Any id outside the tables: -1 in all 64 bits of x0, x1 to x3 as they came."""
    assume(function & 0xFFFFFFFF & ~SVE_HINT not in SERVICES)
    bench = Bench({BOOT: script(Smc(0, function, args, secure, aarch32))}).run()
    assert bench.pes[0].returns == [(0xFFFF_FFFF_FFFF_FFFF, *args)]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_smc32_uses_low_halves_and_smc64_checks_all(target, level):
    """AFFINITY_INFO of any registers, by both conventions, against the rule written out."""
    low = {0: 0, 1: 1, 0x100: 1, 0x101: 1}
    calls = ((Psci.AFFINITY_INFO, target, level), (Psci.AFFINITY_INFO_32, target, level))
    bench = Bench({BOOT: script(*calls)}).run()
    known = [target, target & 0xFFFF_FFFF]
    assert bench.pes[0].codes == [
        low.get(value, -2) if level & 0xFFFF_FFFF == 0 else -2 for value in known
    ]
