"""Measurements of the bus, the simulator and the suspend cycle: `make bench`."""
