"""GICv2: distributor and CPU interfaces."""
