"""Verdicts as pytest outcomes."""

from vsa_checks.errors import visible


class Verdict(AssertionError):
    """A verdict that does not let a test pass by itself; only its message needs to be shown.

    Recorded reasons may come from anywhere, so characters that could affect a terminal are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


class Chance(Verdict):
    """The threshold is met, but a decisive null is not clearly beaten."""


class Refuted(Verdict):
    """The threshold is not met."""


class VerdictChanged(Verdict):
    """The verdict differs from the recorded one, for better or worse."""
