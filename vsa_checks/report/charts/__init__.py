"""Drawings for the page as inline SVG: no script, no network, colours by CSS class, every text escaped."""

from vsa_checks.report.charts.lanes import lanes
from vsa_checks.report.charts.layers import bars_by_layer, lines_by_layer, named_places, places, shares
from vsa_checks.report.charts.plots import curve, histogram

__all__ = ["bars_by_layer", "curve", "histogram", "lanes", "lines_by_layer", "named_places", "places", "shares"]
