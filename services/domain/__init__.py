"""Domains: EL1, its memory, its software and the virtual CPU interface."""
