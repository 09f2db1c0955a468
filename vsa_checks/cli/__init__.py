"""The commands beside `pytest claims/`."""
