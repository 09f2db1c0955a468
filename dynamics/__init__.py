"""Training from scratch, with the paper's claims measured at each step: the paper's second open question."""
