"""Lets `python -m atml` do what `atml` does."""

from atml.cli.main import main

if __name__ == "__main__":
    main()
