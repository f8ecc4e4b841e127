"""Warnings of this package as lines for the user of the command."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def redirect_warnings(on_warning: Callable[[str], None]) -> Iterator[None]:
    """Pass the warnings of this package to `on_warning`, each once, instead of standard error.

    `warning_once` alone repeats a warning when two threads reach it at the same time.
    """
    logger, handler = logging.getLogger(__package__.partition(".")[0]), _OnceHandler(on_warning)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


class _OnceHandler(logging.Handler):
    """Passes each message on once; `logging` calls `emit` under a lock."""

    def __init__(self, on_warning: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self._on_warning = on_warning
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._seen:
            self._seen.add(message)
            self._on_warning(message)
