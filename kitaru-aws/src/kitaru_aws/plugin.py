"""What this package supplies. Read at start-up, so it imports nothing but the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.register import Register


@hookimpl
def kitaru_register(register: Register) -> None:
    register.uri_scheme("s3://", provider="aws")
