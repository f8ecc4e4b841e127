"""Warnings of the package as remarks."""

import logging
import threading

import pytest

from scsnet_hf.io.warning_lines import warnings_as_remarks

LOGGER = logging.getLogger("scsnet_hf.some_module")


@pytest.fixture
def remarks() -> list[str]:
    return []


def test_a_warning_is_said_once(remarks):
    with warnings_as_remarks(remarks.append):
        for number in (1, 2, 1, 1):
            LOGGER.warning("number %d", number)
    assert remarks == ["number 1", "number 2"]


def test_also_where_threads_come_to_it_together(remarks):
    together = threading.Barrier(8)

    def warn() -> None:
        together.wait(30)
        LOGGER.warning("the same")

    with warnings_as_remarks(remarks.append):
        threads = [threading.Thread(target=warn) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert remarks == ["the same"]


def test_nothing_less_than_a_warning_is_said(remarks):
    with warnings_as_remarks(remarks.append):
        LOGGER.info("nothing special")
    assert remarks == []


def test_others_are_left_alone(remarks, caplog):
    with warnings_as_remarks(remarks.append):
        logging.getLogger("another_package").warning("theirs")
        LOGGER.warning("ours")
    assert caplog.messages == ["theirs"]


def test_afterwards_warnings_go_where_they_went(remarks, caplog):
    with pytest.raises(ValueError), warnings_as_remarks(remarks.append):
        raise ValueError
    LOGGER.warning("later")
    assert remarks == []
    assert caplog.messages == ["later"]
