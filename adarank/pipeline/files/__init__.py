"""Writing files whole, temporary files, and where caches lie."""
