"""The start of the process: what is loaded before a command can say that it was interrupted.

The front door itself is `front.py`; loading it takes a few tenths of a second.
"""

from __future__ import annotations

import gc
import signal
import sys

GARBAGE = (50_000, 20, 50)
"""How many new objects, and how many rounds, go before Python looks for rings of objects that
nobody holds: its own number, 700, is a twelfth of what a plan costs, nearly all of it over modules
and classes, which stay."""


def main() -> None:
    """Run regild on the process's own command line.

    Until the command runs, and after it, Ctrl-C ends the process as it ends any other, without
    a trace of where it was; where the caller has it ignored (nohup), it stays ignored.
    """
    gc.set_threshold(*GARBAGE)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from regild.cli.front import run

    code = run(sys.argv[1:])
    gc.freeze()  # or the interpreter looks for rings once more, in all that ends with the process
    sys.exit(code)
