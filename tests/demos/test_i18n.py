"""Every text of the page exists in English and Korean, and every translation is used."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import gradio as gr
import pytest

from app import build, tabs
from demos import i18n
from demos.i18n import both, korean, translations

ROOT = Path(__file__).resolve().parents[2]
# The same in both languages: signs, names, and English that the networks are to read.
SAME = {
    "⇄", "Top-k", "Top-p", "a brown dog runs along the beach", "What color is the bus?", "red\nblue\nyellow",
    "place blue by f two now",
}  # fmt: skip


def sources() -> Iterator[ast.AST]:
    """The syntax trees of everything that makes the page."""
    for file in (ROOT / "app.py", *(ROOT / "demos").rglob("*.py")):
        yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def constants(tree: ast.AST) -> set[str]:
    """The strings that are written out in a piece of code."""
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def is_hidden(block: gr.blocks.Block | None) -> bool:
    """Whether it belongs to the API alone."""
    return block is not None and ((isinstance(block, gr.Row) and block.visible is False) or is_hidden(block.parent))


@pytest.fixture(scope="module")
def blocks() -> list:
    """What a visitor may see of the page, its texts not yet marked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(i18n, "mark", lambda page: None)
        return [block for block in build().blocks.values() if not is_hidden(block)]


def texts(blocks: list) -> set[str]:
    """The texts that gradio translates."""
    found = [getattr(block, name, None) for block in blocks for name in ("label", "info", "placeholder")]
    found += [block.value for block in blocks if isinstance(block, gr.Button | gr.Markdown)]
    found += [name for block in blocks for name, _ in getattr(block, "choices", None) or []]
    return {text for text in found if text} | {text for tab in tabs() for text in (tab.TITLE, tab.PROMISE)}


def marked() -> set[str]:
    """The texts that our own code writes in both languages."""
    calls = [n for n in sources() if isinstance(n, ast.Call) and getattr(n.func, "id", None) == "both"]
    return set().union(*(constants(call.args[0]) for call in calls))


def test_every_text_of_the_page_has_a_korean_one(blocks):
    assert texts(blocks) | marked() <= set(korean()) | SAME


def test_every_translation_is_used(blocks):
    written = {node.value for node in sources() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(korean()) <= texts(blocks) | written


def test_a_translation_has_the_fields_of_the_text():
    def fields(text):
        return sorted((name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None)

    for english, translated in korean().items():
        assert fields(translated) == fields(english)
        assert translated.strip()


def test_nothing_that_a_component_holds_is_taken_for_a_text(blocks):
    """Gradio would translate a value, too: of what can be chosen and typed, none may be a key."""
    held = [block.value for block in blocks if isinstance(block, gr.Radio | gr.Dropdown | gr.Textbox)]
    assert not {value for value in held if value} & set(korean())


def test_both_languages_are_in_what_handlers_make():
    assert both("{count} frames", count=3) == '<span lang="en">3 frames</span><span lang="ko">3프레임</span>'
    assert both("no such text of {whom}", whom="mine") == "no such text of mine"
    assert both("memory", "tspan").startswith("<tspan lang=")


def test_marked_texts_reach_gradio_and_the_api_is_documented_without_marks():
    page = build()
    labels = {getattr(block, "label", None) for block in page.blocks.values()}
    assert str(gr.I18n()("Photo")) in labels
    assert "Photo" not in labels
    parameters = page.get_api_info()["named_endpoints"]["/captioning"]["parameters"]
    assert [parameter["label"] for parameter in parameters][:2] == ["Photo", "Beam size"]


def test_gradio_gets_every_text_in_both_languages():
    table = translations().translations_dict
    assert set(table) == {"en", "ko"}
    assert set(table["en"]) == set(table["ko"]) == set(korean())
