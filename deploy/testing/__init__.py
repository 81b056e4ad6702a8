"""What the fixtures of the pytest plugin give to a test; see `docs/HOWTO_PYTEST.md`."""
