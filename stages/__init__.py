"""The pipeline: one thin module per DVC stage, and what only stages need."""

import os
import signal
import sys

# Before torch loads GNU's OpenMP: threads that spin long while they wait for each other are several
# times slower where another process is busy (docs/speed.md).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # `python -m stages.NAME` is still importing: Ctrl-C ends it without a traceback. What it then
    # runs has more to say (adarank.pipeline.console.stopping).
    signal.signal(signal.SIGINT, signal.SIG_DFL)
