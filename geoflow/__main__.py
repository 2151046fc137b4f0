"""`python -m geoflow`."""

from geoflow.cli import main

# Guarded, since the processes that prepare data import this module again.
if __name__ == "__main__":
    raise SystemExit(main())
