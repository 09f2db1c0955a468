"""Compare several reports: models by claims, checkpoints as curves, two runs of one model as a diff."""

from vsa_checks.report.comparison.content import compare, write_comparison
from vsa_checks.report.comparison.page import render
from vsa_checks.report.comparison.runs import read_runs
from vsa_checks.report.comparison.schema import schema

__all__ = ["compare", "read_runs", "render", "schema", "write_comparison"]
