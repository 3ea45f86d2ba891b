"""Running training runs, one or several at a time."""
