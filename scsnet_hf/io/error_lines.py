"""Errors as one line of a report."""

_LONGEST = 300  # characters


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line of at most 300 characters.

    An error without a message gives the name of its class.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
