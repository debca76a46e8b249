"""A model provider on the loopback that speaks OpenAI's chat interface, answer by answer as a test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What one request gets. Text in ``pieces`` is streamed when it is asked for so; ``cut``: the stream just ends.

    ``pause`` is slept before each piece, or before the whole answer.
    """

    pieces: Sequence[str] = ("Hello",)
    status: int = 200
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    usage: tuple[int, int, int] | None = (10, 5, 4)
    tool_calls: Sequence[tuple[str, str]] = ()
    finish: str = "stop"
    cut: bool = False
    pause: float = 0.0


class ModelServer:
    """``answers`` are given in turn, the last one for ever; ``asked`` holds bodies, ``keys`` the keys it was given."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: dict[str, Any], key: str) -> Answer:
        with self.lock:
            self.asked.append(body)
            self.keys.append(key)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = server.take(body, self.headers.get("Authorization", "").removeprefix("Bearer "))
                try:
                    if answer.status == 200 and answer.body is None and body.get("stream"):
                        self._stream(body, answer)
                    else:
                        time.sleep(answer.pause)
                        self._whole(body, answer)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has given up

            def _whole(self, body: dict[str, Any], answer: Answer) -> None:
                text = answer.body
                if text is None and answer.status != 200:
                    text = json.dumps({"error": {"message": "no", "type": "error", "code": None}})
                if text is None:
                    message = _message("".join(answer.pieces) or None, answer.tool_calls)
                    text = json.dumps(
                        {
                            **_head(body, "chat.completion"),
                            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
                            "usage": _usage(answer),
                        }
                    )
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def _stream(self, body: dict[str, Any], answer: Answer) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for piece in answer.pieces:
                    time.sleep(answer.pause)
                    self._event(body, [{"index": 0, "delta": {"role": "assistant", "content": piece}}], None)
                if answer.cut:
                    return
                self._event(body, [{"index": 0, "delta": {}, "finish_reason": answer.finish}], None)
                self._event(body, [], _usage(answer))
                self.wfile.write(b"data: [DONE]\n\n")

            def _event(self, body: dict[str, Any], choices: list[Any], usage: Any) -> None:
                event = {**_head(body, "chat.completion.chunk"), "choices": choices, "usage": usage}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "x", "object": kind, "created": 1, "model": body["model"]}


def _message(text: str | None, calls: Sequence[tuple[str, str]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(calls)
        ]
    return message


def _usage(answer: Answer) -> dict[str, Any] | None:
    if answer.usage is None:
        return None
    given, got, cached = answer.usage
    return {
        "prompt_tokens": given,
        "completion_tokens": got,
        "total_tokens": given + got,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
