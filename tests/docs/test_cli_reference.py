"""``docs/cli.md`` is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from tests.docs.cli_reference import page

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.docs.cli_reference > docs/cli.md`"
