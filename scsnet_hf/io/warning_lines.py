"""Warnings of this package as remarks to the user."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def warnings_as_remarks(remark: Callable[[str], None]) -> Iterator[None]:
    """Hand the warnings of this package to `remark`, each once, instead of to standard error.

    `warning_once` alone says them twice when two threads come to it together.
    """
    logger, handler = logging.getLogger(__package__.partition(".")[0]), _Once(remark)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


class _Once(logging.Handler):
    """Calls of `emit` come one at a time, whatever the threads."""

    def __init__(self, remark: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self._remark = remark
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            self._remark(message)
