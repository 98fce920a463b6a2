"""The one exception that a user is meant to read."""


class SfddmError(Exception):
    """A mistake in the input or the machine's state, told in one sentence.

    The command line prints the sentence on stderr and exits with status 2; no stack trace is shown. The sentence
    names the file, the key and what is allowed. Names in it come from strangers: a line break, or a character that
    would steer a terminal, becomes a question mark.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(one if one.isprintable() else "?" for one in sentence))
