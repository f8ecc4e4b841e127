"""Optional packages: which extra of this package installs what is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(
    extra: str, purpose: str, error_class: type[BaseException] = ImportError
) -> Iterator[None]:
    """Say how to install what is missing where an import in the block fails.

    Example:
        >>> with needs_extra("eval", "metrics"):
        ...     import evaluate
        ImportError: metrics need another package (No module named 'evaluate'): pip install
        'scsnet_hf[eval]'

    Args:
        extra: one of those in setup.cfg.
        purpose: what needs it, in the plural or as the name of a program.
        error_class: of the error; SystemExit ends a program with the message.

    Raises:
        ImportError: or `error_class`, with the command that installs the extra.
    """
    try:
        yield
    except ImportError as error:
        message = str(error)
        if "pip install" not in message:
            message = (
                f"{purpose} need another package ({message}): pip install 'scsnet_hf[{extra}]'"
            )
        raise error_class(message) from error
