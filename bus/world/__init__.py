"""The deterministic world: delivery queue, virtual time, strategies and the choice tape."""
