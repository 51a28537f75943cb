"""Makes `python -m atml` equivalent to `atml`."""

from atml.cli.main import main

if __name__ == "__main__":
    main()
