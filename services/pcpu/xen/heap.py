"""Xen's allocator, as far as its rule about contexts goes (xen/common/page_alloc.c).

Xen's data is laid out once here, so nothing is handed out; what counts is who calls, and when.
"""

from proto.image import symbol
from proto.traces import HeapUse
from services.pcpu.pe import Pe


@symbol
async def xmalloc(pe: Pe, what: str) -> None:
    """Allocate; a BUG where the heap's locks must not be taken."""
    await assert_alloc_context(pe, "xmalloc", what)


@symbol
async def xfree(pe: Pe, what: str) -> None:
    """Free; a BUG where the heap's locks must not be taken."""
    await assert_alloc_context(pe, "xfree", what)


@symbol
async def assert_alloc_context(pe: Pe, operation: str, what: str) -> None:
    """ASSERT_ALLOC_CONTEXT(): IRQs are on, or there is only one CPU."""
    online = (await pe.load(pe.xen.system.cpu_online_map)).bit_count()
    pe.trace(HeapUse(operation, what, pe.irq_masked, online))
    if pe.irq_masked and online > 1:
        message = f"{operation} of {what} on CPU{pe.cpu} with IRQs off and {online} CPUs"
        await pe.links["bug"](pe, message)
