"""The pipeline: one thin module per DVC stage, and what only stages need."""

import os
import signal
import sys

# Before torch loads OpenMP: threads that wait for each other by spinning are several times slower
# where another process is busy (docs/speed.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # `python -m stages.NAME` is still importing: Ctrl-C ends it without a traceback. What it then
    # runs has more to say (adarank.pipeline.console.stopping).
    signal.signal(signal.SIGINT, signal.SIG_DFL)
