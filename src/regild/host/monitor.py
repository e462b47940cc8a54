"""QEMU's own control door: takes a picture of the guest's screen, sees connections, ends the
machine.

The door is a socket pair, so nobody else can come in. What a guest shows is only handed on.
Source: QEMU 7.2, docs/interop/qmp-spec.txt, qapi/ui.json (screendump), net/slirp.c (info usernet).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from types import TracebackType
from typing import Any, Final

from regild.errors import CommandFailed

SECONDS: Final = 20.0
ANSWER_BYTES_MAX: Final = 1 << 20
PICTURE_BYTES_MAX: Final = 64 << 20
_CONNECTED: Final = re.compile(r"TCP\[ESTABLISHED\]\s+\d+\s+\S+\s+\d+\s+\S+\s+(\d+)")


class Monitor:
    """The control door of one machine; `handle` is QEMU's end of it, `picture` a file without a
    name that QEMU writes the screen to."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(SECONDS)
        self._rest = b""
        self._is_open = False
        self.picture = os.memfd_create("screen")

    @property
    def handle(self) -> int:
        """The file descriptor that QEMU is given."""
        return self._theirs.fileno()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ours.close()
        self._theirs.close()
        os.close(self.picture)

    def screenshot(self) -> bytes:
        """The screen as a PNG; empty where QEMU could not make one."""
        try:
            place = f"/proc/self/fd/{self.picture}"
            self._do("screendump", filename=place, format="png")
        except CommandFailed:
            return b""
        size = min(os.fstat(self.picture).st_size, PICTURE_BYTES_MAX)
        return os.pread(self.picture, size, 0)

    def connected_ports(self) -> frozenset[int]:
        """The guest's ports that have answered a connection from outside."""
        line = {"command-line": "info usernet"}
        told = self._do("human-monitor-command", **line)
        return frozenset(int(port) for port in _CONNECTED.findall(str(told)))

    def quit(self) -> None:
        """End the machine; one that has ended already is fine."""
        with contextlib.suppress(CommandFailed):
            self._do("quit")

    def _do(self, command: str, **arguments: object) -> Any:
        """Carry out one command.

        Raises: CommandFailed.
        """
        try:
            if not self._is_open:
                self._answer()  # the greeting
                self._is_open = True
                self._do("qmp_capabilities")
            told = {"execute": command, "arguments": arguments}
            self._ours.sendall(json.dumps(told).encode() + b"\n")
            while True:
                answer = self._answer()
                if "error" in answer:
                    why = str(answer["error"])[:400]
                    raise CommandFailed(where=f"QEMU's {command}", why=why)
                if "return" in answer:
                    return answer["return"]
        except (OSError, ValueError, EOFError) as error:
            why = str(error) or "it has ended"
            raise CommandFailed(where=f"QEMU's {command}", why=why) from error

    def _answer(self) -> dict[str, Any]:
        """The next thing that QEMU says.

        Raises: OSError, EOFError, ValueError for what is no JSON.
        """
        while b"\n" not in self._rest:
            piece = self._ours.recv(1 << 16)
            if not piece or len(self._rest) > ANSWER_BYTES_MAX:
                raise EOFError
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {}
