"""Boards and patches that make an exploration fail quickly, each in its own way."""

from pathlib import Path

from deploy.loading import Overrides, resolve
from proto.board import Board

UNEXPECTED = """
import msgspec

def change_profile(profile):
    return msgspec.structs.replace(profile, expected_findings=())
"""
"""The 2025-03 series, and nobody knows what is wrong with it."""

CRASH = """
from proto.patch import relink_xen

@relink_xen
async def stop_cpu(pe):
    raise ZeroDivisionError("my mistake")
"""

UNSTEADY = """
from proto.patch import original, relink_xen
from services.pcpu.xen.smpboot import stop_cpu as as_written

RUNS = []

@relink_xen
async def stop_cpu(pe):
    RUNS.append(pe)
    await pe.delay(1_000 * len(RUNS))
    await original(as_written)(pe)
"""
"""A program that remembers the run before."""


def failing(folder: Path, text: str, profile: str = "baseline", seed: int = 0) -> Board:
    """The baseline on two PEs with a patch of this text."""
    path = folder / "my_patch.py"
    path.write_text(text, encoding="utf-8")
    return resolve("baseline", Overrides("dual", profile, None, seed, (str(path),)))


def plain(seed: int = 0) -> Board:
    """The baseline on two PEs."""
    return resolve("baseline", Overrides("dual", seed=seed))
