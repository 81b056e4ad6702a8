"""A board in containers: its compose file, its image, and what is laid out before it starts."""
