"""Asking before something is removed: only somebody at a terminal can be asked."""

from __future__ import annotations

import sys

import click

from kitaru.cli.output import exit_with_error, is_terminal


def confirm(command: str, question: str, *, yes: bool, output: str) -> None:
    """Go on if ``yes`` was given, nobody can be asked, or the answer is yes; else end the command with exit code 1."""
    if yes or output != "text" or not is_terminal(sys.stdin):
        return
    if not click.confirm(question):
        exit_with_error(command, "nothing was deleted.", output=output)
