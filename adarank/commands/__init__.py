"""The command `adarank`, a file a subcommand; sweeps and pull requests for `make`."""

import os

# As in stages/__init__.py, for the same reason.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
