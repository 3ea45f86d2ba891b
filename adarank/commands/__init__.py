"""The command `adarank`, a file a subcommand; sweeps and pull requests for `make`."""
