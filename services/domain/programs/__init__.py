"""Guest software: programs for a domain's EL1, linked into one image by symbol."""

from proto.image import Image
from proto.platform import GUEST_TEXT
from services.domain.programs import idle as _idle  # noqa: F401 - links its symbols
from services.domain.programs import ignorant as _ignorant  # noqa: F401 - links its symbols
from services.domain.programs import linux as _linux  # noqa: F401 - links its symbols

PROGRAMS = {"linux": "linux_start", "idle": "idle_start", "ignorant": "ignorant_start"}
"""`DomainSpec.program` to the symbol its boot vCPU starts at."""


def guest_image(program: str) -> Image:
    """The kernel image of a guest; its entry lies at GUEST_TEXT.

    Raises ValueError for a program there is none of.
    """
    if program not in PROGRAMS:
        raise ValueError(f"program is {program!r}, expected one of {', '.join(sorted(PROGRAMS))}")
    return Image(__name__, GUEST_TEXT, PROGRAMS[program])
