"""The results for the measured models: docs/findings.md, written from the results kept here."""
