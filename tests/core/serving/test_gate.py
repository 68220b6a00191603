"""The gate before the app: what passes, what is refused, and how soon."""

import json
import re
import time

import httpx
import pytest

from core.serving.gate import MOST_VALUES, Gate, Rule

POST = frozenset(("POST",))
RULES = (
    Rule(frozenset(("GET",)), re.compile("/page")),
    Rule(POST, re.compile("/json"), 1_000_000, json=True),
    Rule(POST, re.compile("/upload"), 10_000),
)


async def echo(scope, receive, send) -> None:
    """An app that answers with the body it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def request(method: str, path: str, **content) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Gate(echo, RULES)), base_url="http://app") as client:
        return await client.request(method, path, **content)


def ask(method: str, path: str, **content) -> httpx.Response:
    import asyncio

    return asyncio.run(request(method, path, **content))


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/page", {}, 200),
        ("POST", "/page", {}, 405),
        ("GET", "/page/more", {}, 404),
        ("GET", "/process_recording", {}, 404),
        ("POST", "/json", {"content": b'{"data": ["a", [1, 2]]}'}, 200),
        ("POST", "/json", {"content": b"[" + b"[]," * 30_000 + b"[]]"}, 413),
        ("POST", "/json", {"content": b"[" * 100 + b"]" * 100}, 413),
        ("POST", "/json", {"content": b"x" * 1_000_001}, 413),
        ("POST", "/upload", {"content": b"x" * 10_000}, 200),
        ("POST", "/upload", {"content": b"x" * 10_001}, 413),
    ],
)
def test_only_known_requests_of_bearable_size_pass(method, path, content, status):
    answer = ask(method, path, **content)
    assert answer.status_code == status
    if status == 200:
        assert answer.content == content.get("content", b"")
    else:
        assert answer.json()["error"].endswith(".")


def test_a_body_without_a_declared_length_is_cut_off_too():
    async def endless():
        for _ in range(1000):
            yield b"x" * 1000

    assert ask("POST", "/upload", content=endless()).status_code == 413
    assert ask("POST", "/json", content=endless()).status_code == 200


def test_signs_within_a_text_are_no_structure():
    text = "[{," * MOST_VALUES + 'and "quoted" \\ too'
    body = json.dumps({"data": [text]}).encode()
    assert ask("POST", "/json", content=body).content == body


@pytest.mark.parametrize("unit", [b'"', b"\\", b'"\\', b"[", b"[]", b",", b'\\"', b'"a",', b"\x00"])
def test_the_check_is_linear(unit):
    body = (unit * 1_000_000)[:1_000_000]
    start = time.process_time()
    ask("POST", "/json", content=body)
    assert time.process_time() - start < 2  # a quadratic scan of a megabyte takes hours
