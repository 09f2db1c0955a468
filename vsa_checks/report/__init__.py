"""Turns the results of a run into results.json, a page, lines for the terminal and cells for the test log."""

from vsa_checks.report.document import ReportError, assemble, read, validate, write
from vsa_checks.report.page import render, write_page
from vsa_checks.report.terminal import summary

__all__ = ["ReportError", "assemble", "read", "render", "summary", "validate", "write", "write_page"]
