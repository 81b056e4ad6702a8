"""Patch files by name or path, checked before anything runs."""

import difflib
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from proto.image import defined_in
from proto.patch import (
    FIRMWARE,
    PACKAGES,
    XEN,
    Loaded,
    Mutant,
    Patch,
    PatchError,
    load_patch,
)
from proto.platform import Platform
from proto.scenario import Profile, Scenario

S = TypeVar("S", Profile, Platform, Scenario)

MUTANTS = Path(__file__).parent / "mutants"


def shipped_mutants() -> dict[str, Path]:
    """The files of the known bugs that come with Torpor, by id, in alphabetical order."""
    files = sorted(path for path in MUTANTS.glob("*.py") if path.name != "__init__.py")
    return {path.stem.replace("_", "-"): path for path in files}


def locate_patch(name: str) -> Path:
    """The file of a known bug's id, or the file itself; raises `PatchError` if there is neither."""
    if name.endswith(".py") or "/" in name:
        return Path(name)
    known = shipped_mutants()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {', '.join(near)}?" if near else "`torpor mutants --list` names them"
        raise PatchError(f"there is no mutant {name!r}; {hint} A file ends in .py")
    return known[name]


def read_patch(name: str) -> Patch:
    """The patch of a known bug's id or of a file; raises `PatchError` with one line."""
    path = locate_patch(name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PatchError(
            f"{path}: expected Python source in UTF-8; is it the right file?"
        ) from error
    except OSError as error:
        raise PatchError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    patch = Patch(path.stem, text)
    checked(patch, path)
    return patch


def checked(patch: Patch, path: Path) -> Loaded:
    """A patch that has been loaded and links; raises `PatchError` that names its file."""
    try:
        loaded = load_patch(patch)
        _check_mutant(loaded.mutant, path)
        for package, programs in loaded.links.items():
            _check_symbols(package, programs)
    except PatchError as error:
        raise PatchError(f"{path}: {error}") from error
    return loaded


def _check_mutant(mutant: Mutant | None, path: Path) -> None:
    """A known bug is found by its id, so its file has to be named after it."""
    if mutant is not None and path.parent == MUTANTS and mutant.id != path.stem.replace("_", "-"):
        raise PatchError(f"MUTANT.id: expected {path.stem.replace('_', '-')!r}, got {mutant.id!r}")


def changed(patches: Sequence[Patch], value: S) -> S:
    """A profile, platform or scenario with the changes of all patches, in their order.

    Raises `PatchError` for a change that fails or gives something else.
    """
    for patch in patches:
        try:
            value = load_patch(patch).changed(value)
        except Exception as error:
            raise PatchError(f"{patch.name}: {type(error).__name__}: {error}") from error
    return value


def mutant_of(patch: Patch) -> Mutant | None:
    """What a patch says of itself as a known bug."""
    return load_patch(patch).mutant


def _check_symbols(package: str, names: Iterable[str]) -> None:
    symbols = image_symbols(package)
    for name in names:
        if name not in symbols:
            near = difflib.get_close_matches(name, sorted(symbols), 3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise PatchError(f"{PACKAGES[package]} has no symbol {name!r}{hint}")


def image_symbols(package: str) -> frozenset[str]:
    """Names of all programs in an image."""
    if package == XEN:
        from services.pcpu.node import xen_image

        return frozenset(xen_image().links)
    # Its modules are linked when the node that runs them is imported.
    import_module("services.firmware.node")
    return frozenset(defined_in(FIRMWARE))
