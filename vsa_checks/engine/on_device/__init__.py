"""The explanation engine on a torch device: the same answers as the compiled engine gives, or nearly (see `scan`)."""
