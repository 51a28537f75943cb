"""The command `atml`, also as `python -m atml`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C during its imports ends it with exit code 130 and no output."""
    try:
        from atml.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
