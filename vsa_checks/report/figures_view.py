"""The figures of a page."""
from typing import Any


def figures_view(document: Any, kept: Any) -> Any:
    """Nothing yet."""
    return None
