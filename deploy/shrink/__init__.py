"""Shrinking: the smallest board, scenario and schedule that still fail alike."""
