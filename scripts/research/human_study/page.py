"""The page that asks raters; it alone needs gradio."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from .front_end import CSS, HTML, JAVASCRIPT
from .study import Study, clean_name

if TYPE_CHECKING:
    import gradio as gr

_Reply = dict[str, object]


@contextmanager
def served_folder() -> Iterator[Path]:
    """Create a temporary folder whose files the page may show, and delete it at the end.

    It has to be entered before gradio is imported, whose telemetry it also switches off.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory(prefix="scsnet-study-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield Path(folder)


def build(study: Study, folder: Path, seconds: float = 1.0) -> "gr.Blocks":
    """Build the page.

    Args:
        study: whose questions it asks.
        folder: the served folder, with the copies of the study.
        seconds: for which a pair is visible.
    """
    import gradio as gr
    from gradio.route_utils import API_PREFIX

    def begin(message: object) -> _Reply:
        return _reply(study, message, lambda rater: None)

    def answer(message: object) -> _Reply:
        def save(rater: str) -> None:
            names = ("left", "right", "choice", "shown", "reaction")
            study.answer(rater, *(message.get(name) for name in names))

        return _reply(study, message, save)

    with gr.Blocks(title="Which looks more authentic?", fill_width=True) as page:
        gr.HTML(
            html_template=HTML,
            css_template=CSS,
            js_on_load=JAVASCRIPT,
            apply_default_css=False,
            server_functions=[begin, answer],
            seconds=seconds,
            folder=f"{API_PREFIX.lstrip('/')}/file={quote(folder.as_posix())}/",
        )
    return page


def _reply(study: Study, message: object, act: Callable[[str], None]) -> _Reply:
    """Act for a rater, then return the next question, or the problem with the message."""
    try:
        rater = clean_name(message.get("rater") if isinstance(message, dict) else None)
        act(rater)
    except ValueError as error:
        return {"problem": str(error)}
    question, number, total = study.next_question(rater)
    reply: _Reply = {"rater": rater, "number": number, "total": total}
    if question is not None:
        left, right = study.files(question)
        reply |= {"left": left.name, "right": right.name}
    return reply


def serve(study: Study, folder: Path, seconds: float, host: str, port: int | None) -> None:
    """Serve the page until the process is stopped.

    Args:
        study: whose questions it asks.
        folder: the served folder, with the copies of the study.
        seconds: for which a pair is visible.
        host: address to listen at; 0.0.0.0 lets others in the network take part.
        port: None for the first free one from 7860.

    Raises:
        OSError: if the port is taken.
    """
    import gradio as gr

    build(study, folder, seconds).launch(
        server_name=host,
        server_port=port,
        theme=gr.themes.Default(  # fonts of the system, nothing from other servers
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        run_history=False,
        show_error=False,
        footer_links=[],
    )
