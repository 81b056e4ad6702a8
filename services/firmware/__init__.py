"""EL3 firmware (PSCI, SMCCC, secure GIC) and the always-on power controller."""
