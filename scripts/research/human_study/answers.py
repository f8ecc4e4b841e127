"""The file of answers: CSV, each appended and synchronized before the next question."""

import csv
import io
import os
import threading
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """One choice of one rater.

    Args:
        time: of the choice, ISO 8601 in UTC.
        rater: name.
        image: name.
        a: a method.
        b: the other method.
        left: the one of the two whose image was on the left.
        preferred: the one of the two that was chosen.
        shown: seconds for which the pair was visible, by the clock of the browser.
        reaction: seconds from its appearance to the choice.
    """

    time: str
    rater: str
    image: str
    a: str
    b: str
    left: str
    preferred: str
    shown: float
    reaction: float

    def __post_init__(self):
        if self.a == self.b or not {self.left, self.preferred} <= {self.a, self.b}:
            raise ValueError("left and preferred must be one of two different methods")


_HEADER = [field.name for field in fields(Answer)]


def read_answers(path: Path) -> list[Answer]:
    """Read all answers of a file; an incomplete last line, left by a killed process, is ignored.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not a file of answers.
    """
    return _parse(path, _whole_lines(path, path.read_bytes()))


def _whole_lines(path: Path, content: bytes) -> str:
    """Drop an incomplete last line; if it is the only one, it must be the start of a header."""
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and not _line(_HEADER).startswith(content):
        raise _not_answers(path)
    try:
        return whole.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_answers(path) from None


def _not_answers(path: Path) -> ValueError:
    return ValueError(f"{path}: is not a file of answers, which starts with {','.join(_HEADER)}")


def _parse(path: Path, text: str) -> list[Answer]:
    header, *rows = csv.reader(text.split("\n")[:-1] or [",".join(_HEADER)])
    if header != _HEADER:
        raise _not_answers(path)
    answers = []
    for number, row in enumerate(rows, start=2):
        try:
            *words, shown, reaction = row
            answers.append(Answer(*words, float(shown), float(reaction)))
        except (ValueError, TypeError):
            raise ValueError(f"{path}, line {number}: is not an answer") from None
    return answers


def _line(cells: list) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8")


class AnswerFile:
    """Answers that are appended to a file. Threads may share it, processes may not.

    Args:
        path: of the file; it is created if it does not exist, and an incomplete last line is
            removed.

    Raises:
        OSError: if it cannot be read or written.
        ValueError: if it is not a file of answers.

    Example:
        >>> answers = AnswerFile(Path("answers.csv"))
        >>> answers.has("anna", "cat", "ours", "coltran")
        False
    """

    def __init__(self, path: Path):
        self._lock = threading.Lock()
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        try:
            text = _whole_lines(path, self._file.read())
            self._answered = {_key(*_names(answer)) for answer in _parse(path, text)}
        except ValueError:
            self._file.close()
            raise
        self._file.truncate(len(text.encode("utf-8")))
        if not text:
            self._append(_line(_HEADER))

    def has(self, rater: str, image: str, a: str, b: str) -> bool:
        """Whether a rater has compared two methods on an image."""
        return _key(rater, image, a, b) in self._answered

    def add(self, answer: Answer) -> None:
        """Save an answer to disk, unless the rater has answered the same question before.

        Raises:
            OSError: if it cannot be written; the file is left as it was.
        """
        key = _key(*_names(answer))
        with self._lock:
            if key not in self._answered:
                self._append(_line(list(asdict(answer).values())))
                self._answered.add(key)

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(f"{self._file.name}: the disk is full")
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(size)
            raise


def _names(answer: Answer) -> tuple[str, str, str, str]:
    return answer.rater, answer.image, answer.a, answer.b


def _key(rater: str, image: str, a: str, b: str) -> tuple[str, str, frozenset[str]]:
    """Identify a question, whichever of the two methods is named first."""
    return rater, image, frozenset((a, b))
