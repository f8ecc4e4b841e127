"""Warnings of the package as lines for the user."""

import logging
import threading

import pytest

from scsnet_hf.io.warning_lines import redirect_warnings

LOGGER = logging.getLogger("scsnet_hf.some_module")


@pytest.fixture
def lines() -> list[str]:
    return []


def test_a_warning_is_said_once(lines):
    with redirect_warnings(lines.append):
        for number in (1, 2, 1, 1):
            LOGGER.warning("number %d", number)
    assert lines == ["number 1", "number 2"]


def test_also_where_threads_come_to_it_together(lines):
    together = threading.Barrier(8)

    def warn() -> None:
        together.wait(30)
        LOGGER.warning("the same")

    with redirect_warnings(lines.append):
        threads = [threading.Thread(target=warn) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines == ["the same"]


def test_nothing_less_than_a_warning_is_said(lines):
    with redirect_warnings(lines.append):
        LOGGER.info("nothing special")
    assert lines == []


def test_others_are_left_alone(lines, caplog):
    with redirect_warnings(lines.append):
        logging.getLogger("another_package").warning("theirs")
        LOGGER.warning("ours")
    assert caplog.messages == ["theirs"]


def test_afterwards_warnings_go_where_they_went(lines, caplog):
    with pytest.raises(ValueError), redirect_warnings(lines.append):
        raise ValueError
    LOGGER.warning("later")
    assert lines == []
    assert caplog.messages == ["later"]
