"""The explanation engine's products and choices on a torch device, to the answers of the compiled engine."""
