"""SCSNet in a browser: `python app.py`."""

import atexit
import os
import shutil
import signal
import sys
import tempfile

# Before gradio and huggingface_hub are imported: nothing is reported to anyone, and uploads and
# results have a folder of their own, which is deleted when the server stops.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="scsnet-space-")
atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

from scsnet_hf.io.extras import needs_extra  # noqa: E402

with needs_extra("space", "app.py: its pages", SystemExit):
    import zero_gpu  # noqa: F401, I001 - before torch
    import gradio as gr

    import batch_tab
    import colorize_tab
    import describe_tab
    import hints_tab
    import look_inside_tab
    import zoom_tab
    from demonstration import HERE, UPLOAD_MEGABYTES, Demonstration

_TABS = {
    "Colorize": colorize_tab,
    "Hints": hints_tab,
    "Look inside": look_inside_tab,
    "Zoom": zoom_tab,
    "Batch": batch_tab,
}
_CREDITS = ("examples/README.md", "references/README.md")
_MOST_WAITING = 64
_DAY = 24 * 3600
_THEME = gr.themes.Default(  # fonts of the system, nothing from other servers
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)


def build(demonstration: Demonstration) -> gr.Blocks:
    """Lay out the page."""
    with gr.Blocks(title="SCSNet", delete_cache=(3600, _DAY)) as page:
        gr.Markdown("# SCSNet\nSmall gray images become large color images, by one small network.")
        # Outside of the tabs, because gradio creates a tab only when it is opened.
        kept = {name: _kept_by_browser(name) for name in (*_TABS, "Describe")}
        with gr.Tabs():
            for name, tab in _TABS.items():
                if tab is hints_tab and not demonstration.pipe.model.config.color_hints:
                    continue
                with gr.Tab(name, id=name):
                    tab.build(page, demonstration, kept[name])
            describe_tab.build(page, demonstration, kept["Describe"])
        with gr.Accordion("About the photographs", open=False):
            gr.Markdown("\n".join((HERE / name).read_text("utf-8") for name in _CREDITS))
    return page.queue(max_size=_MOST_WAITING)


def _kept_by_browser(name: str) -> gr.BrowserState:
    # With the default, a random secret, a browser could not read it after a restart.
    return gr.BrowserState(None, storage_key=f"scsnet {name}", secret="scsnet")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that atexit functions run
    try:
        demonstration = Demonstration.from_environment()
    except (ValueError, OSError) as error:
        sys.exit(f"app.py: {error}")
    build(demonstration).launch(
        theme=_THEME,
        max_file_size=f"{UPLOAD_MEGABYTES}mb",
        run_history=False,
        show_error=False,
        footer_links=["api"],
    )


if __name__ == "__main__":
    main()
