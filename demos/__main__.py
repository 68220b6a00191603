"""The command `unrolled`, also python -m demos: one of the demos, or the page.

unrolled                             serve the page on http://127.0.0.1:7860
unrolled captioning photo.jpg        any demo's command line
"""

import sys
from importlib import import_module

from demos import DEMOS

_HELP = f"""usage: unrolled [--host HOST] [--port PORT]      serve the page
       unrolled TASK [predict] INPUT ...         answer; --help lists a task's commands

tasks: {", ".join(DEMOS)}"""


def main(arguments: list[str] | None = None) -> int:
    """Run a demo's command line, or serve the page; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    first = arguments[0] if arguments else ""
    if first in DEMOS:
        return import_module(f"demos.{first}.__main__").main(arguments[1:])
    if first in ("-h", "--help"):
        print(_HELP)
        return 0
    if first and not first.startswith("-"):
        print(f"There is no task {first!r}: choose one of {', '.join(DEMOS)}.", file=sys.stderr)
        return 2
    from core.serving.temporary import use_own_temporary_folder

    use_own_temporary_folder()
    import app  # brings gradio

    app.main(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
