import subprocess
import sys

import pytest

from app import build, main, tabs
from demos import DEMOS, start

PROGRAM = """
import sys, app
app.build()
print(*sorted({"torch", "transformers", "timm", "matplotlib"} & set(sys.modules)))
"""


def test_the_page_is_built_without_the_heavy_libraries():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_every_demo_has_a_tab_and_uploads_are_deleted_in_time():
    page = build()
    labels = [block.label for block in page.blocks.values() if block.get_block_name() == "tabitem"]
    titles = [start.TITLE, *(tab.TITLE for tab in tabs())]
    assert all(f'"{title}"' in label for title, label in zip(titles, labels, strict=True))
    assert len(tabs()) == len(DEMOS) > 0
    assert page.delete_cache == (3600, 3600)
    assert page.analytics_enabled is False


@pytest.mark.parametrize("text", ["soon", "0", "-5", ""])
def test_a_time_that_is_none_is_refused_before_anything_starts(monkeypatch, capsys, text):
    monkeypatch.setenv("UNROLLED_KEEP_SECONDS", text)
    with pytest.raises(SystemExit):
        main([])
    assert f"--keep: invalid seconds value: '{text}'" in capsys.readouterr().err
