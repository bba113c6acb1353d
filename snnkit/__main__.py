"""Entry point of the command line: `snnkit` or `python -m snnkit`."""

from snnkit.cli.app import main

if __name__ == "__main__":
    main()
