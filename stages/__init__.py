"""The pipeline: one thin module per DVC stage, and what only stages need."""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # `python -m stages.NAME` is still importing: Ctrl-C ends it without a traceback. What it then
    # runs has more to say (adarank.pipeline.console.stopping).
    signal.signal(signal.SIGINT, signal.SIG_DFL)
