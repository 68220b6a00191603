"""The interface in the visitor's language: English, or Korean as korean.json has it.

Tabs are written in plain English, and the English text is the key of its translation. Gradio translates in the browser,
whose language it asks for: labels, infos, placeholders and the like once `mark` has marked them, by the table that
`launch(i18n=...)` gives it. HTML that our own code makes it leaves alone: there `both` writes a text in both languages,
and style.css hides one. Answers of the networks and sentences of errors are the same for everybody.
"""

import json
from functools import cache
from pathlib import Path

import gradio as gr

_WITH_TEXT = (gr.Button, gr.Markdown)  # whose value is a text of the page; that of others is the visitor's


@cache
def korean() -> dict[str, str]:
    """English text -> Korean text, some with {fields} and HTML in them."""
    return json.loads(Path(__file__).with_name("korean.json").read_text(encoding="utf-8"))


def translations() -> gr.I18n:
    """The table for `launch(i18n=...)`."""
    return gr.I18n(en={text: text for text in korean()}, ko=korean())


def mark(page: gr.Blocks) -> None:
    """Mark the texts of a page's components for translation. Choices need no mark: gradio looks each of them up."""
    translate = translations()
    for block in page.blocks.values():
        for name in ("label", "info", "placeholder", *(("value",) if isinstance(block, _WITH_TEXT) else ())):
            text = getattr(block, name, None)
            if isinstance(text, str) and text in korean():
                setattr(block, name, str(translate(text)))


def both(text: str, tag: str = "span", /, **fields: object) -> str:
    """A text of the page as HTML in both languages; fields fill its {fields}, and are HTML already where they are text.

    A text without a translation is shown in English to everybody (a test finds it).
    """
    filled = text.format(**fields) if fields else text
    translated = korean().get(text)
    if translated is None:
        return filled
    other = translated.format(**fields) if fields else translated
    return f'<{tag} lang="en">{filled}</{tag}><{tag} lang="ko">{other}</{tag}>'
