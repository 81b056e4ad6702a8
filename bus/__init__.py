"""Moves turns between nodes, in every world; knows no GIC and no PSCI."""
