"""Exploration: many schedules of one board, judged as they run; the first failure is kept."""
