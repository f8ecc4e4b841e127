"""Errors as one line of a report."""

_LONGEST = 300  # characters


def one_line(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters; its kind if it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
