"""The app's endpoints over plain HTTP, without a client that would check anything."""

import json
from pathlib import Path

import httpx

from tests.e2e.conftest import PATIENCE, App


def call(app: App, endpoint: str, *data: object) -> tuple[str, object]:
    """(event, data) that the endpoint ends with, over plain HTTP."""
    url = f"{app.url}gradio_api/call/{endpoint}"
    event = httpx.post(url, json={"data": data}, timeout=PATIENCE).json()["event_id"]
    lines = httpx.get(f"{url}/{event}", timeout=PATIENCE).text.strip().splitlines()
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def upload(app: App, photo: str | Path) -> dict:
    """The request's value for an uploaded file."""
    with open(photo, "rb") as file:
        (path,) = httpx.post(f"{app.url}gradio_api/upload", files={"files": file}, timeout=PATIENCE).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}
