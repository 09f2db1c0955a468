"""Verdicts as pytest outcomes."""

from vsa_checks.errors import visible


class Verdict(AssertionError):
    """A verdict that does not let a test pass by itself; its message is all that need be shown.

    Recorded reasons may come from anywhere, so whatever could act on a display is written out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


class Chance(Verdict):
    """The threshold is met, but a decisive null is not clearly beaten."""


class Refuted(Verdict):
    """The threshold is not met."""


class VerdictChanged(Verdict):
    """The verdict is another than the recorded one, for the better or the worse."""
