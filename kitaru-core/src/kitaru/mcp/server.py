"""The tools on the Model Context Protocol, over stdin and stdout or streamable HTTP on the loopback."""

from __future__ import annotations

import functools
import hmac
import inspect
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from kitaru.client.boundaries import run_with_mcp_error_boundary
from kitaru.client.version import resolve_installed_version
from kitaru.config import environment
from kitaru.mcp import limits
from kitaru.mcp.tools import TOOLS, Level, Tool

_LEVELS: tuple[Level, ...] = ("read", "write", "destructive")
_INSTRUCTIONS = (
    "Kitaru runs Python agent workflows (flows) durably: every call of a checkpoint is recorded, and an execution that "
    "was interrupted continues where it stopped. Find executions with kitaru_executions_list, look at one with "
    "kitaru_executions_get. Results may be cut: ends in `... (+N items)` and `... (+N characters)` say so."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves.

    Attributes:
        allow: ``read``, ``write`` (start and continue executions, make stacks) or ``destructive`` (cancel, abort and
            delete, too).
        max_output_bytes: a longer result is cut.
        transport: ``stdio`` or ``http`` (streamable HTTP, on the loopback, with a token).
        port: of ``http``; 0: any that is free.
    """

    allow: Level = "read"
    max_output_bytes: int = limits.DEFAULT_BYTES
    transport: Literal["stdio", "http"] = "stdio"
    port: int = 8384


def build(settings: Settings) -> MCPServer[Any]:
    """A server with the tools that the settings allow."""
    server: MCPServer[Any] = MCPServer(
        "kitaru", version=resolve_installed_version(), instructions=_INSTRUCTIONS, log_level="WARNING"
    )
    reached = _LEVELS.index(settings.allow)
    for tool in TOOLS:
        if _LEVELS.index(tool.level) <= reached:
            server.add_tool(
                _guarded(tool, settings),
                description=inspect.getdoc(tool.function),
                annotations=_annotations(tool),
                structured_output=True,
            )
    return server


def _annotations(tool: Tool) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=tool.level == "read",
        destructive_hint=tool.level == "destructive",
        idempotent_hint=tool.idempotent,
        open_world_hint=False,
    )


def _guarded(tool: Tool, settings: Settings) -> Callable[..., Any]:
    """The tool with its errors as an agent can read them, and its result cut to size."""
    function = tool.function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("action") == "delete" and settings.allow != "destructive":
            raise ToolError("this server does not delete: start it with `kitaru mcp --allow destructive`.")
        value = run_with_mcp_error_boundary(lambda: function(*args, **kwargs), translator=_told)
        most = settings.max_output_bytes
        if isinstance(value, str):  # the newest lines are what is asked for: the beginning goes
            return value if len(value) <= most else f"... (+{len(value) - most} characters before)\n{value[-most:]}"
        cut, _ = limits.limited(value, most)
        if type(cut) is type(value):
            return cut
        return {"cut": cut} if isinstance(value, dict) else [{"cut": cut}]

    return call


def _told(error: BaseException) -> BaseException:
    # A plain exception's text would be withheld by the protocol's library.
    return ToolError(str(error) or type(error).__name__)


def serve(settings: Settings) -> None:
    """Serve until the other side hangs up (stdio) or a signal comes (HTTP). Flows that run here are handed over then.

    What bodies print goes to stderr: stdout is the protocol's.
    """
    try:
        if settings.transport == "stdio":
            build(settings).run("stdio")
        else:
            _serve_http(settings)
    except KeyboardInterrupt:
        return
    finally:
        _hand_over()


def _hand_over() -> None:
    """Flows that run in this process go on in processes of their own: an agent that leaves ends nothing."""
    from kitaru.client import KitaruClient

    client = KitaruClient()
    for exec_id in client.interrupt():
        client.continue_elsewhere(exec_id)


def _serve_http(settings: Settings) -> None:
    import uvicorn

    token = os.environ.get(environment.KITARU_MCP_TOKEN_ENV) or secrets.token_urlsafe(24)
    app = _Authenticated(build(settings).streamable_http_app(host="127.0.0.1"), token)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=settings.port, log_level="warning"))
    socket = server.config.bind_socket()
    socket.listen(128)  # from the moment its address is told
    port = socket.getsockname()[1]
    name = environment.KITARU_MCP_TOKEN_ENV
    shown = f"the one in {name}" if os.environ.get(name) else token
    sys.stderr.write(f"Kitaru MCP server: http://127.0.0.1:{port}/mcp\nToken (Authorization: Bearer ...): {shown}\n")
    sys.stderr.flush()
    server.run(sockets=[socket])


class _Authenticated:
    """Lets only requests with the token in: other programs of this machine, and web pages, can reach the port, too."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await send(
                    {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]}
                )
                await send({"type": "http.response.body", "body": b"a token is needed: Authorization: Bearer ...\n"})
                return
        await self._app(scope, receive, send)
