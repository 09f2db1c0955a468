"""What goes wrong, in words for the person who ran the command."""


class VsaChecksError(Exception):
    """Bad input: the message is one paragraph that names what was looked for, where, and the remedy."""


class UsageError(VsaChecksError):
    """An option or argument that cannot be used as given."""


class ModelError(VsaChecksError):
    """A model that cannot be found, read or trusted."""


class RecordedError(VsaChecksError):
    """A file of recorded verdicts that does not fit the model or the claims."""


class NotChecked(Exception):
    """The subject does not exist on this model, or cannot mean anything there; the message says why."""
