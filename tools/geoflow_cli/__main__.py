"""`python -m geoflow_cli`."""

import sys

from geoflow_cli import main

if __name__ == "__main__":
    sys.exit(main())
