"""What stands before a web app: an ASGI middleware that lets known requests of bearable size through, and no others.

A framework brings more routes than a page needs, and reads a request's body whole before anybody looks at it. Here a
request must match a rule (its method and path), its body may not be longer than the rule says, and JSON may not hold
more values, or deeper ones, than a person's request does: 100 MB of empty lists would otherwise become 8 GB of objects.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_VALUES = 50_000  # in a JSON body: lists, objects and their entries
MOST_DEPTH = 64  # of lists and objects within one another
_PLAIN = bytes(set(range(256)) - set(b"[]{},"))  # all but what gives JSON its structure
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # linear: also one without an end is a match


@dataclass(frozen=True)
class Rule:
    """Requests that may pass."""

    methods: frozenset[str]
    path: re.Pattern[str]  # must match the whole path
    most_bytes: int = 0  # of the body
    json: bool = False  # whether the body is JSON, which is then checked before it is parsed


class _RefusedError(Exception):
    """Why a request does not pass, as a sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


class Gate:
    """The middleware; the first rule that matches method and path counts."""

    def __init__(self, app: App, rules: Sequence[Rule]):
        self.app, self.rules = app, rules

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass on, or answer 404, 405 or 413 with {"error": sentence}."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # no rule is for anything else
            return await send({"type": "websocket.close", "code": 1008})
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            rule = self.rule_for(scope["method"], scope["path"])
            bounded = _Bounded(receive, rule.most_bytes, declared_length(scope))
            await self.app(scope, await bounded.checked_json() if rule.json else bounded, noted)
        except _RefusedError as refusal:
            if not started:
                await _answer(send, refusal)
        return None

    def rule_for(self, method: str, path: str) -> Rule:
        """The rule that lets a request pass. Raises _RefusedError where there is none."""
        there = [rule for rule in self.rules if rule.path.fullmatch(path)]
        for rule in there:
            if method in rule.methods:
                return rule
        if there:
            raise _RefusedError(405, f"{method[:20]} is not offered here.")
        raise _RefusedError(404, "There is nothing at this address: the page is at /, the API is described there.")


class _Bounded:
    """`receive`, which refuses a body that is longer than it may be; as soon as that is declared, or found out."""

    def __init__(self, receive: Receive, most_bytes: int, declared: int | None):
        self._receive, self._most, self._read = receive, most_bytes, 0
        if declared is not None and declared > most_bytes:
            raise self._too_long()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._most:
                raise self._too_long()
        return message

    async def checked_json(self) -> Receive:
        """The whole body read and checked; a `receive` that gives it in one piece, then whatever else comes."""
        parts, more = [], True
        while more:
            message = await self()
            if message["type"] != "http.request":
                break
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        check_json(body)
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return pending.pop() if pending else await self._receive()

        return replayed

    def _too_long(self) -> _RefusedError:
        return _RefusedError(413, f"The request is larger than the {self._most / 1e6:g} MB that work here.")


def check_json(body: bytes) -> None:
    """Refuse JSON with too many values or too deep a nesting, in linear time and without parsing it."""
    structure = _STRING.sub(b"", body).translate(None, delete=_PLAIN)
    if len(structure) > MOST_VALUES:
        raise _RefusedError(413, f"The request holds more than the {MOST_VALUES:,} values that work.")
    depth = 0
    for sign in structure:
        depth += (sign in b"[{") - (sign in b"]}")
        if depth > MOST_DEPTH:
            raise _RefusedError(413, "The request's lists and objects are too deep within one another: flatten them.")


def declared_length(scope: MutableMapping[str, Any]) -> int | None:
    """What the request says of its body's length; None where it says nothing that is a number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(value) if value.isdigit() else None


async def _answer(send: Send, refusal: _RefusedError) -> None:
    body = json.dumps({"error": str(refusal)}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
