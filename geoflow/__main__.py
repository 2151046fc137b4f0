"""`python -m geoflow`."""

from geoflow.cli import main

raise SystemExit(main())
