"""The `torpor` command."""
