"""Patches: what a file may define, how it is loaded once, and errors that name its line."""

from dataclasses import dataclass, field

import pytest

from proto.codec import decoder, encode
from proto.image import Image, Program, defined_in, symbol
from proto.patch import (
    FIRMWARE,
    XEN,
    Mutant,
    Patch,
    PatchError,
    load_patch,
    move_step,
    original,
    relink_xen,
    relinked,
    stand_in,
)
from proto.platform import Platform
from proto.scenario import DomainSpec, Profile, Role, Scenario

PROFILE = Profile(name="toy", title="toy", suspend_steps=("a", "b", "c"))
SCENARIO = Scenario(name="toy", domains=(DomainSpec(id=0, role=Role.HARDWARE),), steps=())
PLATFORM = Platform(name="toy", clusters=(2,))

RELINK = """
from proto.patch import relink_firmware, relink_xen

@relink_xen
async def stop_cpu(pe):
    return {value!r}

@relink_firmware
async def psci_cpu_off_start(el3):
    return {value!r}

async def helper(pe):
    return 0
"""

MUTANT = """
from proto.patch import Mutant
MUTANT = Mutant(id="x", title="t", source="s", section="A", confidence="high", property="I1")
"""


@symbol
async def greet(processor: "Machine", name: str) -> str:
    """A program of an image of this test's own."""
    return f"hello {name}"


@dataclass
class Machine:
    """Something that runs an image."""

    relinked: dict[str, Program] = field(default_factory=dict)

    @property
    def links(self) -> dict[str, Program]:
        return Image(__name__, 0, "greet", self.relinked).links


def finish(program: object) -> object:
    """What a program that awaits nothing gives."""
    try:
        program.send(None)  # type: ignore[attr-defined] # a coroutine
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it awaits something")


def refused(text: str) -> str:
    """The error of a patch that does not load: one line."""
    with pytest.raises(PatchError) as caught:
        load_patch(Patch("mine", text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_programs_are_collected_by_image() -> None:
    """Only what is marked; a helper of the file stays its own."""
    patch = Patch("mine", RELINK.format(value=7))

    assert set(relinked([patch], XEN)) == {"stop_cpu"}
    assert set(relinked([patch], FIRMWARE)) == {"psci_cpu_off_start"}
    assert finish(relinked([patch], XEN)["stop_cpu"](None)) == 7


def test_of_two_patches_the_later_wins() -> None:
    """Symbol by symbol; what only the earlier one replaces is kept."""
    one = Patch("one", RELINK.format(value=1) + "\n@relink_xen\nasync def only(pe): return 10\n")
    two = Patch("two", RELINK.format(value=2))

    assert finish(relinked([one, two], XEN)["stop_cpu"](None)) == 2
    assert finish(relinked([two, one], XEN)["stop_cpu"](None)) == 1
    assert finish(relinked([one, two], XEN)["only"](None)) == 10


def test_a_wrapper_calls_the_program_as_it_was_written() -> None:
    """`original` goes round the linkage table, so a wrapper does not call itself."""

    async def polite(processor: Machine, name: str) -> str:
        plain: str = await original(greet)(processor, name)
        return f"{plain}, how are you"

    machine = Machine({"greet": polite})

    assert finish(greet(machine, "Xen")) == "hello Xen, how are you"
    assert finish(original(greet)(machine, "Xen")) == "hello Xen"
    assert "greet" in defined_in(__name__)


def test_a_plain_function_has_no_original() -> None:
    """Only programs of an image can be called round it."""
    with pytest.raises(PatchError, match="is not a symbol of an image"):
        original(finish)


def test_relinking_outside_a_patch_is_refused() -> None:
    """An import of a patch file as a module would have an effect on nobody's board."""

    async def stop_cpu(pe: object) -> None: ...

    with pytest.raises(PatchError, match="only while its patch is loaded"):
        relink_xen(stop_cpu)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (", "line 1: '(' was never closed"),
        ("x = 1\n\nx.y.z\n", "line 3: AttributeError: 'int' object has no attribute 'y'"),
        ("import proto\nfrom proto.patch import nothing\n", "line 2: ImportError: cannot import"),
        (
            "from proto.patch import relink_xen\n\n@relink_xen\ndef stop_cpu(pe): ...\n",
            "line 3: PatchError: stop_cpu is no `async def`; programs are",
        ),
        ("def f():\n    raise ValueError('two\\nlines')\nf()\n", "line 2: ValueError: two lines"),
        ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
    ],
)
def test_a_file_that_does_not_load_names_the_line(text: str, said: str) -> None:
    """One line, with what Python says."""
    assert refused(text).startswith(said)


def test_a_patch_that_failed_leaves_nothing_behind() -> None:
    """The next one collects its own programs only."""
    refused("from proto.patch import relink_xen\n@relink_xen\nasync def a(pe): ...\n1/0\n")

    assert set(relinked([Patch("mine", RELINK.format(value=1))], XEN)) == {"stop_cpu"}


def test_tables_are_changed_in_the_order_of_the_wish() -> None:
    """Each change gets what the run would use, and what has no change stays as it is."""
    text = """
import msgspec
def change_profile(profile): return msgspec.structs.replace(profile, title="other")
def change_platform(platform): return msgspec.structs.replace(platform, intids=128)
def change_scenario(scenario): return msgspec.structs.replace(scenario, time_limit_ms=5)
"""
    loaded = load_patch(Patch("mine", text))

    assert loaded.changed(PROFILE).title == "other"
    assert loaded.changed(PLATFORM).intids == 128
    assert loaded.changed(SCENARIO).time_limit_ms == 5
    assert load_patch(Patch("none", "")).changed(PROFILE) is PROFILE


def test_a_change_that_gives_something_else_is_refused() -> None:
    """A forgotten `return` is the usual reason."""
    loaded = load_patch(Patch("mine", "def change_profile(profile): pass"))

    with pytest.raises(PatchError, match="change_profile: expected a Profile, got NoneType"):
        loaded.changed(PROFILE)


def test_a_description_is_a_mutant_or_nothing() -> None:
    """A file of a user's own has none."""
    mutant = load_patch(Patch("mine", MUTANT)).mutant

    assert isinstance(mutant, Mutant)
    assert (mutant.id, mutant.scenario, mutant.schedules) == ("x", "baseline", 2000)
    assert load_patch(Patch("mine", "")).mutant is None
    with pytest.raises(PatchError, match=r"MUTANT: expected a proto\.patch\.Mutant, got str"):
        _ = load_patch(Patch("mine", "MUTANT = 'x'")).mutant


@pytest.mark.parametrize(
    ("step", "before", "steps"),
    [("a", "c", "bac"), ("c", "a", "cab"), ("a", "", "bca"), ("b", None, "ac"), ("b", "c", "abc")],
)
def test_a_step_is_moved_or_taken_out(step: str, before: str | None, steps: str) -> None:
    """The others keep their order."""
    assert "".join(move_step(PROFILE, step, before).suspend_steps) == steps


@pytest.mark.parametrize(("step", "before"), [("d", "a"), ("a", "d")])
def test_a_step_that_is_not_there_is_refused(step: str, before: str) -> None:
    """With those that are."""
    with pytest.raises(PatchError, match="profile toy has no step 'd'; it has a, b, c"):
        move_step(PROFILE, step, before)


def test_a_step_is_not_moved_in_front_of_itself() -> None:
    """Where it stands is where it would be."""
    assert move_step(PROFILE, "b", before="b") == PROFILE


def test_a_symbol_has_one_stand_in() -> None:
    """The newer row replaces the older."""
    twice = stand_in(stand_in(stand_in(PROFILE, "f", "g"), "x", "y"), "f", "h")

    assert [(row.symbol, row.stand_in) for row in twice.relink] == [("x", "y"), ("f", "h")]


def test_a_patch_travels_as_its_text() -> None:
    """Whoever decodes it can load it; the file is not needed."""
    patch = Patch("mine", RELINK.format(value=4))
    again = decoder(Patch)(encode(patch))

    assert again == patch
    assert finish(relinked([again], XEN)["stop_cpu"](None)) == 4


def test_a_text_is_executed_once() -> None:
    """However many processors link it."""
    patch = Patch("mine", MUTANT)

    assert load_patch(patch) is load_patch(Patch("mine", MUTANT))
