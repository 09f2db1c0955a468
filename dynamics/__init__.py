"""Training from scratch, measured: what the paper's claims give at each step of it (the paper's second open question)."""
