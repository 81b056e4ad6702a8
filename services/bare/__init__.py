"""A board without Xen: bare programs on the PEs, and the driver of call vectors."""
