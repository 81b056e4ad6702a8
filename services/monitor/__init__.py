"""Judges: properties over a shadow state rebuilt from the journal alone."""
