"""The person at the bench: types on consoles, presses buttons, releases armed points."""
