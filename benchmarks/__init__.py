"""Timings side by side: the obvious ways and other libraries against this package, on random weights."""
