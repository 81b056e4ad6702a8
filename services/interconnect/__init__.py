"""The interconnect process: the hub, and DRAM behind it."""
