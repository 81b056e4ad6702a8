"""Processing elements, and Xen running on them at EL2."""
