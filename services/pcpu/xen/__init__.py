"""Xen for Arm64: one module per Xen file that matters to suspend."""
