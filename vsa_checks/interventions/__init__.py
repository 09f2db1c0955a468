"""Changes a running model to be more, and less, what the theory says, and measures whether it still works."""
