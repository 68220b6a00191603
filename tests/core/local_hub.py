"""A Hugging Face Hub of one repository on localhost: as much of its HTTP API as a checkpoint needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    files: dict[str, bytes]  # of the repository, by name

    def do_HEAD(self) -> None:
        self._answer_file(with_body=False)

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            entries = [{"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in self.files.items()]
            return self._answer_json(entries)
        if "/revision/" in self.path:
            return self._answer_json({"id": "owner/name", "sha": "0" * 40})
        return self._answer_file(with_body=True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/repos/create"):
            return self._answer_json({"url": f"http://{self.headers['Host']}/owner/name", "name": "owner/name"})
        if self.path.endswith("/validate-yaml"):  # the front matter of README.md
            return self._answer_json({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            return self._answer_json({"files": modes})
        if "/commit/" not in self.path:
            return self.send_error(404)
        for line in body.splitlines():  # the commit, as JSON Lines
            operation = json.loads(line)
            if operation["key"] == "file":
                self.files[operation["value"]["path"]] = base64.b64decode(operation["value"]["content"])
        return self._answer_json(
            {"commitUrl": f"http://{self.headers['Host']}/owner/name/commit/1", "commitOid": "1" * 40}
        )

    def _answer_file(self, with_body: bool) -> None:
        name = self.path.rpartition("/")[2]
        if name not in self.files:
            return self.send_error(404)
        content = self.files[name]
        headers = {"ETag": hashlib.sha256(content).hexdigest(), "X-Repo-Commit": "0" * 40}
        return self._answer(content, headers, with_body)

    def _answer_json(self, value: object) -> None:
        self._answer(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, content: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """The tests print nothing."""


@contextmanager
def local_hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Serve; yields the address, for the environment variable HF_ENDPOINT, and the repository's files by name."""
    files: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", files
    finally:
        server.shutdown()
        server.server_close()
