import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app import build, main, tabs
from demos import DEMOS, start

ROOT = Path(__file__).parents[1]
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


@pytest.mark.parametrize("text", ["80000", "0", "-1", "http"])
def test_a_port_that_is_none_is_refused_before_anything_starts(capsys, text):
    with pytest.raises(SystemExit):
        main(["--port", text])
    assert f"--port: invalid port value: '{text}'" in capsys.readouterr().err


def test_a_port_in_use_gets_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "app.py", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "name a free one with --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_tab_fulfils_the_protocol():
    for tab in tabs():
        assert all(isinstance(getattr(tab, name), str) for name in ("TITLE", "PROMISE", "FIRST_CLICK"))
        assert callable(tab.build)
        assert callable(tab.warm_up)
