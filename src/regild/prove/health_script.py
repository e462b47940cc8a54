"""What somebody inside of a test boot's guest looks at, and what he says over the serial line.

A unit and a shell script are put on the throw-away overlay only. The script waits until systemd has
nothing more to start, which is the end state and not the first sign of life; then it asks what is
expected, each thing again until it holds or `SETTLE_SECONDS` have passed.
Source: systemctl(1), is-system-running; systemd.unit(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from regild.model.health import Expectation

FOLDER: Final = "/etc/systemd/system"
SCRIPT: Final = f"{FOLDER}/regild-boot-test.sh"
UNIT: Final = f"{FOLDER}/regild-boot-test.service"
WANTED: Final = f"{FOLDER}/multi-user.target.wants/regild-boot-test.service"
MANAGERS: Final = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
"""Where systemd lies in a guest that has it."""
PORT: Final = "/dev/ttyS1"
SETTLE_SECONDS: Final = 60
COMMAND_SECONDS: Final = 120
LINE_BYTES_MAX: Final = 1 << 20
SAID_BYTES: Final = 2000
UNITS_MAX: Final = 200

UNIT_TEXT: Final = f"""\
[Unit]
Description=Say how this machine is, for a test

[Service]
Type=simple
ExecStart=/bin/sh {SCRIPT}
"""

_HEAD = f"""\
exec >{PORT} 2>&1 </dev/null
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
stty -F {PORT} raw -echo
say() {{ printf '\\n\\001test %s\\n' "$*"; }}
try() {{
    say begin "$1"
    number=$1 until=$(($(date +%s) + {SETTLE_SECONDS}))
    shift
    until "$@"; code=$?; [ $code = 0 ] || [ "$(date +%s)" -ge $until ]; do
        sleep 2
    done
    say end "$number" $code
}}
unit() {{
    systemctl is-active "$1" && return 0
    ended=$?
    told=$(systemctl show -p Type -p Result -p ExecMainStartTimestampMonotonic "$1")
    told=" $(echo $told) "
    case $told in *TimestampMonotonic=0\\ *) return $ended ;; esac
    case $told in *\\ Type=oneshot\\ *) ;; *) return $ended ;; esac
    case $told in *\\ Result=success\\ *) ;; *) return $ended ;; esac
    echo "it ran once, and well"
}}
state=
until [ "$state" = running ] || [ "$state" = degraded ] || [ "$state" = maintenance ]; do
    sleep 1
    state=$(systemctl is-system-running 2>/dev/null)
done
target=$(systemctl get-default)
say target "$target" "$(systemctl is-active "$target")"
systemctl list-units --state=failed --plain --no-legend --no-pager | while read -r unit rest; do
    say failed "$unit"
done
say state "$state"
"""

_OWN = re.compile(
    rb"\x01test (?:begin (?P<begin>\d{1,3})|end (?P<end>\d{1,3}) (?P<code>\d{1,3})"
    rb"|target (?P<target>[!-~]{1,255}) (?P<active>[a-z]{1,20})|failed (?P<failed>[!-~]{1,255})"
    rb"|state (?P<state>[a-z]{1,20})|done)"
)


def write_script(expectations: Sequence[Expectation]) -> str:
    """The script for what has to be looked at from inside, numbered as given."""
    lines = []
    for number, one in enumerate(expectations):
        if one.kind == "unit":
            lines.append(f"try {number} unit {shlex.quote(one.what)}")
        elif one.kind == "command":
            inner = f"timeout {COMMAND_SECONDS} sh -c {shlex.quote(one.what)}"
            lines.append(f"try {number} {inner}")
        elif one.kind == "running":
            lines.append(f"try {number} systemctl is-system-running")
    return "\n".join([_HEAD, *lines, "say done", ""])


class Report:
    """What the script says, as it comes in; a guest can say anything here."""

    def __init__(self) -> None:
        self.state = ""
        self.target = ""
        self.is_active = False
        self.failed: list[str] = []
        self.codes: dict[int, int] = {}
        self.is_done = False
        self._said: dict[int, bytearray] = {}
        self._running: int | None = None
        self._rest = b""

    def take(self, content: bytes) -> None:
        """Take in some more; lines without end are cut."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        self._rest = self._rest[-LINE_BYTES_MAX:]
        self._take_lines(line.rstrip(b"\r") for line in lines)

    def said(self, number: int) -> str:
        """The last words of what was asked, in one line."""
        text = bytes(self._said.get(number, b"")).decode(errors="replace")
        return " / ".join(text.split("\n"))[-SAID_BYTES:].strip(" /") or "it said nothing"

    def _take_lines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            found = _OWN.fullmatch(line)
            if found is not None:
                self._take_own(found)
            elif self._running is not None and line:
                said = self._said.setdefault(self._running, bytearray())
                said += line[-SAID_BYTES:] + b"\n"
                del said[:-SAID_BYTES]

    def _take_own(self, found: re.Match[bytes]) -> None:
        told = {name: text.decode() for name, text in found.groupdict().items() if text}
        if "begin" in told:
            self._running = int(told["begin"])
        elif "end" in told:
            self._running, self.codes[int(told["end"])] = None, int(told["code"])
        elif "target" in told:
            self.target, self.is_active = told["target"], told["active"] == "active"
        elif "failed" in told:
            self.failed = [*self.failed, told["failed"]][:UNITS_MAX]
        elif "state" in told:
            self.state = told["state"]
        else:
            self.is_done = True
