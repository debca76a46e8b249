"""``python -m kitaru``: the command line of this interpreter's installation."""

from kitaru.cli.main import main

main()
