"""Verdicts as pytest outcomes."""


class Verdict(AssertionError):
    """A verdict that does not let a test pass by itself; its message is all that need be shown."""


class Chance(Verdict):
    """The threshold is met, but a decisive null is not clearly beaten."""


class Refuted(Verdict):
    """The threshold is not met."""


class VerdictChanged(Verdict):
    """The verdict is another than the recorded one, for the better or the worse."""
