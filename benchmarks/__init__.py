"""Timings of this package compared with obvious implementations and other libraries, on random weights."""
