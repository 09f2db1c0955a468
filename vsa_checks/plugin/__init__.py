"""How pytest runs the claims: options, collection by subject, verdicts as outcomes, and the report."""
