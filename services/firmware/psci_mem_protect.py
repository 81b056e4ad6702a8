"""MEM_PROTECT and MEM_PROTECT_CHECK_RANGE (TF-A lib/psci/psci_mem_protect.c)."""

from proto.ids import DRAM
from proto.image import symbol
from proto.messages import MemoryScrub
from proto.psci import PsciError
from services.firmware.context import El3Context
from services.firmware.psci_common import in_ram


@symbol
async def psci_mem_protect(el3: El3Context, enable: int) -> int:
    """MEM_PROTECT (DEN 0022): switch the scrub at cold reset; gives the setting before, 0 or 1."""
    cell = el3.memory.globals.mem_protect
    before = await el3.load(cell)
    await el3.store(cell, int(enable != 0))
    return before


@symbol
async def psci_mem_chk_range(el3: El3Context, base: int, length: int) -> int:
    """MEM_PROTECT_CHECK_RANGE (DEN 0022): SUCCESS if MEM_PROTECT covers the range, else DENIED.

    A range that is empty or wraps round is not covered.
    """
    return PsciError.SUCCESS if in_ram(el3.platform, base, length) else PsciError.DENIED


@symbol
async def psci_do_mem_protect(el3: El3Context) -> None:
    """Cold boot: scrub Non-secure RAM if the last run asked for it, and forget the wish.

    Source: TF-A plat/arm/common/arm_nor_psci_mem_protect.c, `arm_nor_psci_do_static_mem_protect`.
    """
    cell = el3.memory.globals.mem_protect
    if await el3.load(cell) == 1:
        for base, size in el3.platform.non_secure_ram:
            await scrub(el3, base, size)
    await el3.store(cell, 0)


@symbol
async def scrub(el3: El3Context, base: int, size: int) -> None:
    """Overwrite a range of memory with zeros."""
    await el3.transact(DRAM, lambda tx: MemoryScrub(tx, base, size))
