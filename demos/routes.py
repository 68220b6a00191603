"""Which of gradio's routes the page, the API and MCP need. All others are refused before gradio sees them.

gradio 6.31 has some forty more: recordings that start ffmpeg, editing the app's own code by chat, profiling, proxies.
tests/demos/test_routes.py holds this list against the routes of the installed gradio, so that a new one is noticed.
"""

import re

from core.serving.gate import Rule

JSON_BYTES = 1_000_000  # a text of 100,000 characters fits, however it is escaped
MCP_BYTES = 12_000_000  # a picture or clip of 8 MB fits as a data: address
UPLOAD_BYTES = 61_000_000  # core.input.video.VideoLimits.file_bytes, and what multipart adds

_NAME = r"[\w.-]{1,100}"
_GET = frozenset(("GET", "HEAD"))
_POST = frozenset(("POST",))


def _rule(methods: frozenset[str], path: str, most_bytes: int = 0, json: bool = False) -> Rule:
    return Rule(methods, re.compile(path), most_bytes, json)


RULES = (
    # the page and its parts
    _rule(_GET, r"/|/config/?|/theme\.css|/gradio_api/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"),
    _rule(_GET, r"/pwa_icon(/\d{1,4})?|/(assets|static|svelte)/.{1,300}"),
    _rule(_GET, rf"/gradio_api/(app_id|startup-events|heartbeat/{_NAME})/?"),
    # uploads, and files that the app itself made or was given: never an address
    _rule(_POST, r"/gradio_api/upload/?", UPLOAD_BYTES),
    _rule(_GET, r"/gradio_api/upload_progress/?"),
    _rule(_GET, r"/gradio_api/file=(?!\s*[a-zA-Z][\w+.-]+:).{1,1000}"),
    # events of the page
    _rule(_POST, r"/gradio_api/(queue/join|run/predict|cancel|reset|component_server)/?", JSON_BYTES, json=True),
    _rule(_GET, r"/gradio_api/queue/(data|status)/?"),
    # the API and its description
    _rule(_GET, r"/gradio_api/(info|openapi\.json)/?|/openapi\.json"),
    _rule(_POST, rf"/gradio_api/call/(v2/)?{_NAME}/?", JSON_BYTES, json=True),
    _rule(_GET, rf"/gradio_api/call/(v2/)?{_NAME}/{_NAME}/?"),
    # MCP
    _rule(_GET | {"DELETE"}, r"/gradio_api/mcp(/.{0,200})?"),
    _rule(_POST, r"/gradio_api/mcp(/.{0,200})?", MCP_BYTES, json=True),
)
