"""Training from scratch, and what the paper's claims give at each step of it: the paper's second open question."""
