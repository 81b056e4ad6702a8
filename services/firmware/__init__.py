"""EL3 firmware shaped like TF-A, and the always-on power controller."""
