"""What cannot be scored, said in one sentence that names what to do."""


class ScoringError(Exception):
    """The data cannot be judged as given; the message is for whoever gave them."""


class UnknownColumnError(ScoringError):
    """A named column is not there."""


class UntrustedModelError(ScoringError):
    """A stored model is not what it says, or holds types that a model of ours never holds."""
