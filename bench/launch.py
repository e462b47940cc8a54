"""Runs a command and writes what it and all that it waited for used: `python launch.py REPORT
COMMAND...`.

It is small, and that is its purpose: the peak of a process begins with that of the one which forked
it (measured: a command that took 52 MB was told with the 131 MB of the bench itself).
"""

import json
import os
import resource
import sys
import time

if __name__ == "__main__":
    report, *command = sys.argv[1:]
    begun = time.monotonic()
    code = os.spawnvp(os.P_WAIT, command[0], command)
    seconds = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(report, "w") as file:  # noqa: PTH123 - pathlib would double its size
        cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
        json.dump({"seconds": seconds, "cpu": cpu, "peak": peak}, file)
    sys.exit(code if code >= 0 else 128 - code)
