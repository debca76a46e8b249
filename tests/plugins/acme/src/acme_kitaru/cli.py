"""``kitaru acme``."""

import click


@click.command()
@click.option("--name", default="world")
def command(name: str) -> None:
    """Say hello from Acme."""
    click.echo(f"hello {name}")
