"""The page: a first tab that shows around, then one tab per demo. `python app.py` serves it on http://127.0.0.1:7860."""

import argparse
import importlib
import os
import signal
import sys
import threading
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere

from core.serving.temporary import remove_own_temporary_folder, use_own_temporary_folder

if __name__ == "__main__":
    use_own_temporary_folder()  # before gradio is imported, which looks where temporary files go only once

import gradio as gr
from starlette.middleware import Middleware

from core.errors import UnrolledError
from core.fast.heap import share_heaps
from core.serving.gate import Gate
from demos import DEMOS, i18n, start
from demos.gradio_hooks import Page
from demos.protocol import Tab
from demos.routes import RULES
from demos.widgets import INTERNAL

PROMISE = i18n.both("Recurrent networks at work, and what happens inside them while they are.")
INTRODUCTION = f'<header class="introduction"><h1>Unrolled</h1><p>{PROMISE}</p></header>'
KEEP_SECONDS = 3600  # how long uploads and results stay on disk
MAX_UPLOAD = "60mb"  # as core.input.video.VideoLimits.file_bytes; core.input.image takes less
MAX_WAITING = 64  # visitors in the queue; the next one is asked to come back later
MAX_SESSIONS = 100  # whose state is kept; each takes up to 300 kB, also after its visitor has left

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "sans-serif"]  # installed ones: no downloads
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def tabs() -> list[Tab]:
    """The tab module of each demo, in order."""
    return [importlib.import_module(f"demos.{name}.tab") for name in DEMOS]


def build(keep: int = KEEP_SECONDS) -> gr.Blocks:
    """The page, ready to launch. keep: seconds for which uploads and results stay on disk."""
    with Page(title="Unrolled", analytics_enabled=False, delete_cache=(keep, keep)) as page:
        gr.HTML(INTRODUCTION, padding=False)
        with gr.Tabs(overflow_behavior="wrap") as bar:  # on a telephone too, every tab is in sight
            with gr.Tab(start.TITLE, id="start", elem_id="tab-start"):
                start.build(tabs())
            for name, tab in zip(DEMOS, tabs(), strict=True):
                with gr.Tab(tab.TITLE, id=name, elem_id=f"tab-{name}"):
                    tab.build()
        i18n.mark(page)
        page.load(tab_of_link, outputs=bar, **INTERNAL, queue=False, show_progress="hidden")
    return page.queue(max_size=MAX_WAITING)


def tab_of_link(request: gr.Request) -> gr.Tabs | dict:
    """The tab that a link like /?tab=translation names.

    A link without a name changes nothing: the answer may come after a quick visitor's first click on another tab.
    """
    name = request.query_params.get("tab")
    return gr.Tabs(selected=name) if name in DEMOS else gr.skip()


def theme() -> gr.themes.Base:
    """Calm and legible: white on teal has a contrast of 5.5 here, against 2.5 in the default theme."""
    button = {"button_primary_background_fill": "*primary_700", "button_primary_background_fill_hover": "*primary_800"}
    dark = {f"{name}_dark": colour for name, colour in button.items()}
    base = gr.themes.Default(primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=MONO_FONTS)
    return base.set(**button, **dark)


def launch(page: gr.Blocks, host: str | None = None, port: int | None = None) -> None:
    """Serve the page and return. Without host and port the environment decides (GRADIO_SERVER_NAME, ..._PORT)."""
    page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css_paths=Path(__file__).parent / "demos" / "style.css",
        max_file_size=MAX_UPLOAD,
        state_session_capacity=MAX_SESSIONS,
        app_kwargs={"middleware": [Middleware(Gate, rules=RULES)]},
        show_error=True,
        max_threads=8,  # one network works at a time, and every thread that ever ran one keeps memory of its own
        mcp_server=True,
        ssr_mode=False,  # would need Node.js
        prevent_thread_lock=True,
        footer_links=["api", "settings"],
        i18n=i18n.translations(),
    )


def warm_up() -> None:
    """Load what the first tab needs, so that the first answer is quick. Errors are told when somebody asks."""
    try:
        tabs()[0].warm_up()
    except UnrolledError as error:
        print(error, file=sys.stderr)


def seconds(text: str) -> int:
    """A whole number above 0. Raises ValueError, which argparse tells in its own words."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def port(text: str) -> int:
    """A number that a port can have. Raises ValueError."""
    if not 1 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted (Ctrl-C) or terminated; uploads are deleted then."""
    parser = argparse.ArgumentParser(prog="python app.py", description="Serve the page.")
    parser.add_argument("--host", help="address to listen on (default: $GRADIO_SERVER_NAME or 127.0.0.1)")
    parser.add_argument("--port", type=port, help="port (default: $GRADIO_SERVER_PORT, or the first free from 7860)")
    keep = os.environ.get("UNROLLED_KEEP_SECONDS", KEEP_SECONDS)
    help_text = "for how long uploads stay on disk (default: $UNROLLED_KEEP_SECONDS or an hour)"
    parser.add_argument("--keep", type=seconds, metavar="SECONDS", default=keep, help=help_text)
    options = parser.parse_args(arguments)
    share_heaps()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    use_own_temporary_folder()
    try:
        launch(build(options.keep), options.host, options.port)
    except OSError as error:
        sys.exit(f"The page cannot be served on port {options.port or 7860} ({error}): name a free one with --port.")
    threading.Thread(target=warm_up, daemon=True).start()
    ended.wait()
    remove_own_temporary_folder()  # whatever browsers still have open
    sys.stdout.flush()
    os._exit(0)  # a network at work in another thread cannot be stopped, and the interpreter would wait for it


if __name__ == "__main__":
    main()
