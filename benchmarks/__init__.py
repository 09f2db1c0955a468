"""Timings of this package beside the obvious ways and other libraries, on random weights."""
