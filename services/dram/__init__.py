"""DRAM and secure SRAM: memory cells that survive suspend."""
