"""`torpor psci`: files of PSCI call vectors, from text to report."""
