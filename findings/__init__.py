"""What the suite says of the models that were measured: docs/findings.md, written from results that are kept here."""
