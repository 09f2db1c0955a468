"""The explanation engine: dictionary, greedy pursuit, compiled loops, threads, and the pursuit on a torch device."""
