"""The explanation engine: dictionary, greedy pursuit, compiled loops, threads, and the same on a torch device."""
