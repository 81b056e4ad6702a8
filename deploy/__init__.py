"""Composition: the only place that imports everything, and the command line."""
