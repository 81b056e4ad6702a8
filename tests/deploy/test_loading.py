"""Loading: names, paths, overrides, and one line for every mistake."""

from pathlib import Path

import pytest

from deploy import loading
from deploy.loading import Overrides, UsageError, code_hash, load, locate, power_model, resolve
from proto.platform import Platform, PowerModel, Retention
from proto.scenario import Profile, Scenario

HEAD = "name: x\ndomains: [{id: 0, role: hardware}]\n"


def write(folder: Path, text: str) -> str:
    """A scenario file with this text."""
    path = folder / "scenario.yaml"
    path.write_text(text)
    return str(path)


def refusal(folder: Path, text: str) -> str:
    """The one line that a scenario with this text gives."""
    with pytest.raises(UsageError) as raised:
        resolve(write(folder, text))
    line = str(raised.value)

    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", [Scenario, Platform, Profile])
def test_everything_that_is_shipped_loads(kind: type) -> None:
    """Every file beside the loader."""
    folder = loading.DEPLOY / loading._FOLDERS[kind]
    paths = sorted(folder.glob("*.yaml"))

    assert paths
    for path in paths:
        assert load(kind, path).name == path.stem
    if kind is Scenario:
        assert [resolve(path.stem).scenario.name for path in paths]


def test_a_name_and_its_path_give_the_same_board() -> None:
    """The composition does not depend on where one stands."""
    path = locate(Scenario, "baseline")

    assert resolve("baseline").composition == resolve(str(path)).composition


def test_the_command_line_beats_the_scenario() -> None:
    """Each override, and the hash follows."""
    board = resolve("baseline", Overrides("quad", "seed", "all-retained", 77))

    assert board.profile.name == "seed"
    assert board.scenario.power_model == "all-retained"
    assert board.scenario.seed == 77
    assert board.composition != resolve("baseline").composition


def test_a_seed_of_zero_is_an_override() -> None:
    """Zero is a seed like any other."""
    assert resolve("baseline", Overrides(seed=0)).scenario.seed == 0


def test_the_code_hash_is_stable_and_knows_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sources give the same hash; renaming one gives another."""
    before = code_hash()
    package = tmp_path / "proto"
    package.mkdir()
    (package / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(loading.proto, "__path__", [str(package)])
    one = code_hash()
    (package / "a.py").rename(package / "b.py")
    other = code_hash()
    monkeypatch.undo()

    assert len({before, one, other}) == 3
    assert code_hash() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("domains: [\n", "line 2, column 1"),
        ("", "at the top: Expected `object`, got `null`"),
        ("- 1\n", "at the top: Expected `object`, got `array`"),
        ("name: x\nnme: y\n", "unknown field `nme`"),
        (HEAD + "steps: [{wait_ms: x}]\n", "at steps[0].wait_ms: Expected `int | null`"),
        (HEAD + "steps: [{wait_ms: 1, irq: rtc}]\n", "exactly one of"),
        (HEAD + "steps: [{wait_ms: -1}]\n", "at steps[0].wait_ms: expected 0 to"),
        (
            HEAD + "steps: [{irq: foo}]\n",
            "steps[0].irq: expected one of uart (33), rtc (34), iommu (36), tty0 (40), got 'foo'",
        ),
        (HEAD + "steps: [{irq: 35}]\n", "steps[0].irq: expected one of uart (33), rtc (34)"),
        (HEAD + "steps: [{irq: true}]\n", "at steps[0].irq: Expected `int | str | null`"),
        (HEAD + "steps: [{wake: tty3}]\n", "steps[0].wake: expected one of uart (33)"),
        (HEAD + "steps: [{wake: {source: 41}}]\n", "steps[0].wake: expected one of uart (33)"),
        (HEAD + "steps: [{wake: {source: rtc, within_ms: -1}}]\n", "wake.within_ms: expected 0"),
        (HEAD + "steps: [{xl: {command: list, from: 7}}]\n", "steps[0]: there is no domain 7"),
        (HEAD + "steps: [{xl: {command: ''}}]\n", "expected one line of text"),
        (HEAD + 'steps: [{xl: {command: "a\\nb"}}]\n', "expected one line of text"),
        (HEAD + "steps: [{xl: {command: list, status: ok}}]\n", "at steps[0].xl.status"),
        (HEAD + "steps: [{xl: list}]\n", "at steps[0].xl: Expected `object | null`, got `str`"),
        (HEAD + "steps: []\npower_model: {gicd: warm}\n", "at power_model[...]"),
        (HEAD + "steps: []\npower_model: {fridge: lost}\n", "expected one of gicd, uart, iommu"),
        (HEAD.replace("hardware", "hardware, memory_mb: 0") + "steps: []\n", "].memory_mb: "),
        (HEAD.replace("hardware", "hardware, watchdog_s: -1") + "steps: []\n", "].watchdog_s: "),
        (HEAD.replace("hardware", "hardware, name: '5'") + "steps: []\n", "].name: expected a"),
        (HEAD.replace("hardware", "hardware, name: a b") + "steps: []\n", "].name: expected a"),
        (
            "name: x\ndomains: [{id: 0, role: hardware, name: dom1}, {id: 1}]\nsteps: []\n",
            "domains[1].name: 'dom1' is another domain's",
        ),
        (HEAD + "steps: [{type: {domain: 7, line: x}}]\n", "at steps[0]: there is no domain 7"),
        (
            HEAD + "steps: [{wait_ms: 1}, {repeat: {times: 2, steps: [{irq: foo}]}}]\n",
            "at steps[1].repeat.steps[0].irq: expected one of uart",
        ),
        (
            HEAD + "steps: [{repeat: {times: 2, steps: [{wait_ms: 1}, {reached: {point: p}}]}}]\n",
            "at steps[0].repeat.steps[1]: nobody stops at 'p'",
        ),
        (HEAD + "steps: []\npower_model: solar\n", "at power_model: expected one of all-lost"),
        (HEAD + "steps: []\nplatform: cray\n", "no platform 'cray'"),
        (HEAD + "steps: []\nprofile: v99\n", "no profile 'v99'"),
        (HEAD + "steps: []\nseed: 99999999999999999999\n", "at seed: expected 0 to"),
        (HEAD + "steps: []\npoints: [{point: p, hold_us: -1}]\n", "at points[0].hold_us"),
        (HEAD + "steps: []\ntime_limit_ms: 0\n", "at time_limit_ms: expected 1 to"),
        (HEAD + "steps: []\noutcomes: [flew]\n", "'flew' is none of"),
        (HEAD + "steps: []\npoints: [{point: el3.CPU_OFF pe9}]\n", "of el3.CPU_OFF pe0, el3."),
        (HEAD + "steps: []\npoints: [{point: before S9, irq: foo}]\n", "points[0].irq"),
        ("name: x\ndomains: [{id: 1}]\nsteps: []\n", "at domains: a board needs domain 0"),
        (HEAD.replace("hardware", "hardware, program: doom") + "steps: []\n", "program"),
        (HEAD + "steps: [&a {repeat: {times: 9, steps: [*a]}}]\n", "more than 100000 steps"),
        (HEAD + "steps: [{repeat: {times: 999999999, steps: [{wait_ms: 1}]}}]\n", "more than"),
        (HEAD + "steps: [2020-99-99]\n", "month must be in 1..12"),
        (HEAD + "steps: [!!python/object:os.system x]\n", "tag"),
    ],
)
def test_a_mistake_gives_one_line_that_says_where(tmp_path: Path, text: str, expected: str) -> None:
    """File, place, what was expected."""
    line = refusal(tmp_path, text)

    assert expected in line
    assert "scenario.yaml" in line or "no p" in line


def armed(point: str) -> str:
    """A scenario with domains 0 and 2 that stops at this point."""
    domains = "[{id: 0, role: hardware}, {id: 2}]"
    return f"name: x\ndomains: {domains}\nsteps: []\npoints: [{{point: {point}}}]\n"


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("before S99", "before S0, before S1, before S2, before S3, before S8,"),
        ("before S4", "with platform quad and profile baseline: expected one of before S0,"),
        ("after R2", "before R<step>, CPU_UP_PREPARE pe<N>,"),
        ("before R6", "one of before R8, before R7, before R3,"),
        ("CPU_DOWN pe1", "CPU_DOWN_PREPARE pe<N>,"),
        ("CPU_DEAD pe4", "CPU_DEAD pe0, CPU_DEAD pe1, CPU_DEAD pe2, CPU_DEAD pe3, got"),
        ("CPU_DEAD pe", "CPU_DEAD pe<N>,"),
        ("CPU_DEAD pe01", "one of CPU_DEAD pe0,"),
        ("el3.CPU_ON", "el3.CPU_ON pe<N>,"),
        ("el3.SYSTEM_SUSPEND pe0", "el3.SYSTEM_SUSPEND, got"),
        ("smmuv3.CMD_SYNC", "no smmuv3.CMD_SYNC on this board"),
        ("vpsci.SYSTEM_SUSPEND d1", "one of vpsci.SYSTEM_SUSPEND d2, got"),
        ("vpsci.SYSTEM_SUSPEND d0", "one of vpsci.SYSTEM_SUSPEND d2, got"),
    ],
)
def test_a_point_that_no_program_has_is_refused(tmp_path: Path, point: str, expected: str) -> None:
    """Nothing would ever stop there; the line names what is possible."""
    line = refusal(tmp_path, armed(point))

    assert "scenario.yaml: at points[0].point" in line
    assert expected in line
    assert f"got '{point}'" in line


@pytest.mark.parametrize(
    "point",
    [
        "before S0",
        "after S13",
        "before R1",
        "before R8",
        "CPU_UP_PREPARE pe3",
        "CPU_RESUME_FAILED pe1",
        "vpsci.SYSTEM_SUSPEND d2",
        "el3.CPU_ON pe1",
        "el3.warm_boot pe1",
        "el3.CPU_OFF pe1",
        "el3.after_CPU_OFF pe1",
        "el3.SYSTEM_SUSPEND",
    ],
)
def test_a_point_of_the_board_is_accepted(tmp_path: Path, point: str) -> None:
    """By the name that its program gives it."""
    assert resolve(write(tmp_path, armed(point))).points == {point}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (Overrides(power_model="off"), "--power: expected one of all-lost, all-retained"),
        (Overrides(profile="x"), "--profile: there is no profile 'x'; use one of baseline"),
        (Overrides(platform="y"), "--platform: there is no platform 'y'; use one of dual"),
        (Overrides(seed=-1), "--seed: expected 0 to"),
        (Overrides(profile=""), "--profile: there is no profile ''"),
    ],
)
def test_a_bad_override_is_blamed_on_its_option(overrides: Overrides, expected: str) -> None:
    """The scenario's file is as it should be."""
    with pytest.raises(UsageError) as raised:
        resolve("baseline", overrides)

    assert str(raised.value).startswith(expected)


def test_a_name_with_the_ending_of_a_file_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run seed.yaml` from anywhere; a file that is there is taken."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no file seed.yaml; did you mean `seed`\?"):
        resolve("seed.yaml")
    with pytest.raises(UsageError, match=r"--profile: .* did you mean `baseline`\?"):
        resolve("seed", Overrides(profile="./baseline.yml"))
    (tmp_path / "seed.yaml").write_text(HEAD + "steps: []\n")

    assert resolve("seed.yaml").scenario.name == "x"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\xff\xfe\x00", "expected UTF-8"), (b"a: \x00", "expected YAML"), (None, "cannot be read")],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, data: bytes | None, expected: str
) -> None:
    """Binary junk and folders."""
    path = tmp_path / "junk.yaml"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)

    with pytest.raises(UsageError, match=expected):
        resolve(str(path))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """It is not a scenario."""
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(loading.SIZE_MAX + 1)

    with pytest.raises(UsageError, match="at most"):
        resolve(str(path))


def test_a_profile_names_rows_of_the_step_table(tmp_path: Path) -> None:
    """A version of the series is a choice among them."""
    text = (loading.DEPLOY / "profiles" / "baseline.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("gic_suspend\n", "gic_hibernate\n", 1))

    with pytest.raises(UsageError, match=r"suspend_steps\[\d+\]: expected one of system_state"):
        resolve("baseline", Overrides(profile=str(path)))


def test_a_profile_relinks_symbols_that_exist(tmp_path: Path) -> None:
    """Both the symbol and its stand-in are programs of Xen's image."""
    text = (loading.DEPLOY / "profiles" / "seed.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("stand_in: cpu_kill_believed", "stand_in: cpu_kill_hoped"))

    with pytest.raises(UsageError, match=r"relink\[2\].stand_in: Xen's image has no symbol"):
        resolve("baseline", Overrides(profile=str(path)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: p\nclusters: [9]\n", "at most 8"),
        ("name: p\nclusters: []\n", "at least one cluster"),
        ("name: p\nclusters: [2]\nwake_sources: [7]\n", "expected SPIs from 32"),
        ("name: p\nclusters: [2]\nbus_timeout_ns: 99999999999999999999999\n", "64 bits"),
    ],
)
def test_an_impossible_platform_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """What no GICv2 board can be."""
    path = tmp_path / "platform.yaml"
    path.write_text(text)

    with pytest.raises(UsageError, match=expected):
        resolve("baseline", Overrides(platform=str(path)))


def test_a_power_model_can_be_a_mapping(tmp_path: Path) -> None:
    """Block by block, in the file and on the command line; what is not named is lost."""
    text = HEAD + "steps: []\npower_model: {gicd: retained}\n"
    board = resolve(write(tmp_path, text))

    assert board.retention("gicd") is Retention.RETAINED
    assert board.retention("uart") is Retention.LOST
    model = power_model("gicd=lost, uart=retained")
    board = resolve(write(tmp_path, text), Overrides(power_model=model))
    assert board.retention("gicd") is Retention.LOST
    assert board.retention("uart") is Retention.RETAINED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gicd=warm", "--power: at 'gicd': expected one of lost, retained, got 'warm'"),
        ("gicd=", "--power: at 'gicd': expected one of lost, retained, got ''"),
        ("gicd=lost,", "--power: at '': expected one of lost, retained"),
        ("gicd=lost,gicd=lost", "gicd is given twice"),
    ],
)
def test_a_bad_power_model_on_the_command_line_is_one_line(text: str, expected: str) -> None:
    """Which block, and what may stand there."""
    with pytest.raises(UsageError) as raised:
        power_model(text)

    assert expected in str(raised.value)


@pytest.mark.parametrize("model", ["solar", {"fridge": Retention.LOST}])
def test_an_unknown_power_model_on_the_command_line_is_refused(model: PowerModel) -> None:
    """The option is blamed, not the file."""
    with pytest.raises(UsageError, match=r"^--power: expected one of .*gic"):
        resolve("baseline", Overrides(power_model=model))


@pytest.mark.parametrize("source", ["rtc", 34, "uart", 33, "iommu", 36, "tty0", 40])
def test_devices_go_by_name_or_number(tmp_path: Path, source: object) -> None:
    """Lines and wake sources alike."""
    text = f"steps: [{{irq: {source}}}, {{wake: {source}}}]\n"

    assert resolve(write(tmp_path, HEAD + text)).scenario.steps[0].irq == source
