"""Turn the results of a run into results.json, a page, tables, lines for the terminal and cells of the test log."""

from vsa_checks.report.document import ReportError, assemble, read, validate, write
from vsa_checks.report.page import render, write_page
from vsa_checks.report.table import claims_frame, table
from vsa_checks.report.terminal import summary

__all__ = [
    "ReportError",
    "assemble",
    "claims_frame",
    "read",
    "render",
    "summary",
    "table",
    "validate",
    "write",
    "write_page",
]
