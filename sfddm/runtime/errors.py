"""The one exception that a user is meant to read."""


class SfddmError(Exception):
    """A mistake in the input or the machine's state, told in one sentence.

    The command line prints the sentence on stderr and exits with status 2; no stack trace is shown. The sentence
    names the file, the key and what is allowed.
    """
