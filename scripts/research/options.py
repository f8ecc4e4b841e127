"""Fields of dataclasses that `transformers.HfArgumentParser` turns into options of a command."""

from dataclasses import field
from typing import Any


def option(default: object, text: str, **argument: object) -> Any:
    """Declare a field with its help text, and further arguments of argparse's `add_argument`."""
    return field(default=default, metadata={"help": text, **argument})
