"""Kitaru for agents: a server of the Model Context Protocol (extra ``mcp``). ``kitaru mcp`` starts it.

``tools`` holds what agents can call, one function per tool, without the protocol; ``server`` puts them on it, and is
loaded by :func:`main`, not by importing this.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("mcp") is None:
    raise ImportError("kitaru.mcp needs the package mcp: pip install 'kitaru[mcp]'")


def main() -> None:
    """Serve on stdin and stdout, read-only: the program ``kitaru-mcp``. ``kitaru mcp`` takes options."""
    from kitaru.mcp.server import Settings, serve

    serve(Settings())
