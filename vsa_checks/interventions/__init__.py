"""Change a running model towards and away from the theory, and measure whether it still works."""
