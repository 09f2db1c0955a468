"""The explanation engine: compiled loops, the pursuit, its dictionary, threads, and the same on a torch device."""
