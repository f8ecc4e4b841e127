"""Errors in one line."""

import pytest

from scsnet_hf.io.error_lines import one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\n  two\tthree"), "one two three"),
        (MemoryError(), "MemoryError"),
        (OSError("x" * 300), "x" * 300),
    ],
)
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line


def test_a_long_error_is_cut_where_one_sees_it():
    assert one_line(ValueError("x" * 301)) == "x" * 297 + "..."
