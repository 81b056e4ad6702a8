"""The words and contracts every part of Torpor shares; pure, and importing nothing of ours."""
