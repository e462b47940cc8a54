"""What the run in a booted Windows reports over its first serial port, judged as it comes in.

A line of the run is its mark and one JSON object; firmware and Windows may say other things on the
same port, which are only logged. Every word has its place: what comes out of turn, more than once,
or is not known makes the whole report one that is not believed.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from regild.model.content import Value

MARK: Final = b"regild "
LINE_BYTES_MAX: Final = 1024
SAID_BYTES_MAX: Final = 4 << 20
"""Of everything that comes over the port."""
RESTARTS_MAX: Final = 8
"""So often a run may start Windows anew: far more than updates of one month ask for."""
NEEDS_RESTART: Final = (3010, 1641)
"""ERROR_SUCCESS_REBOOT_REQUIRED and ERROR_SUCCESS_REBOOT_INITIATED."""
INSTALLED_ALREADY: Final = 0x00240006
"""WU_S_ALREADY_INSTALLED."""
DONE: Final = (0, *NEEDS_RESTART, INSTALLED_ALREADY)
Number = Annotated[int, msgspec.Meta(ge=0, le=999)]
Code = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 32)]
Text = Annotated[str, msgspec.Meta(max_length=300)]
Word = Literal["hello", "begin", "end", "differs", "restart", "broken", "done"]


class Line(Value, frozen=True, forbid_unknown_fields=True):
    """One line of a report."""

    say: Word
    step: Number = 0
    """Counted from 1; for `hello` the one that comes next."""
    code: Code = 0
    why: Text = ""
    build: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{0,6}$")] = ""
    ubr: Number | Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)] = 0


class WindowsRun(Value, frozen=True):
    """A run that was done."""

    codes: tuple[int, ...]
    """What each file ended with."""
    starts: int
    restarts: int
    build: str
    ubr: int
    command: str
    """What the registry's `CmdLine` held before the run, and has to hold afterwards."""


class Report:
    """A run's report; `steps` is how many files it was told to install."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.codes: dict[int, int] = {}
        self.begun = 0
        """The step that is being done; 0 between two."""
        self.restarts = 0
        self.wants_restart = False
        self.is_done = False
        self.build, self.ubr = "", 0
        self.differing = 0
        """The step whose file is not the one that was meant; 0: none."""
        self.broken = ""
        self.fault = ""
        """Why the report is not believed; what comes after that is not looked at."""
        self._met = False
        self._said = 0
        self._rest = b""
        self._is_long = False

    @property
    def coming(self) -> int:
        """The step that comes next."""
        return len(self.codes) + 1

    @property
    def failed(self) -> int:
        """The file that did not install; 0: none."""
        return next((step for step, code in self.codes.items() if code not in DONE), 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be waited for but the machine's end."""
        return bool(self.is_done or self.fault or self.broken or self.differing or self.failed)

    def take(self, content: bytes) -> None:
        """Take in some more of what comes over the port; a line without end is let go."""
        self._said += len(content)
        if self._said > SAID_BYTES_MAX and not self.fault:
            self.fault = f"it says more than {SAID_BYTES_MAX} bytes"
        *lines, rest = (self._rest + content).split(b"\n")
        for line in lines:
            if not self._is_long:
                self._take_line(line)
            self._is_long = False
        if len(rest) > LINE_BYTES_MAX and not self._is_long:
            self._take_line(rest)
            self._is_long = True
        self._rest = b"" if self._is_long else rest

    def begin_again(self) -> None:
        """The machine is started once more."""
        self._rest, self._is_long, self._met = b"", False, False

    def _take_line(self, line: bytes) -> None:
        if not line.startswith(MARK) or self.fault:
            return
        if len(line) > LINE_BYTES_MAX:
            self.fault = f"a line of it is longer than {LINE_BYTES_MAX} bytes"
            return
        try:
            said = msgspec.json.decode(line.removeprefix(MARK), type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.fault = f"a line of it is none that a run says: {str(error)[:100]}"
            return
        self._take(said)

    def _take(self, said: Line) -> None:
        """One line in its turn."""
        if self.is_over or (said.say == "hello") == self._met:
            self.fault = f"it says {said.say} out of turn"
        elif said.say == "hello":
            self._hello(said)
        elif said.say in ("begin", "end", "differs"):
            self._step(said)
        elif said.say == "broken":
            self.broken = said.why or "it does not say why"
        elif said.say == "restart":
            self._restart()
        elif self.begun or self.wants_restart or len(self.codes) < self.steps or self._is_asking:
            self.fault = f"it says done after {len(self.codes)} of {self.steps} files"
        else:
            self.is_done, self.build, self.ubr = True, said.build, said.ubr

    def _hello(self, said: Line) -> None:
        self._met = True
        if said.step != self.coming or self.begun:
            self.fault = f"it goes on with file {said.step} and not with {self.coming}"
        self.wants_restart = False

    def _step(self, said: Line) -> None:
        """A file's begin and end; the digest is looked at in between."""
        begins = said.say == "begin"
        expected = self.coming if begins else self.begun
        if said.step != expected or said.step > self.steps or bool(self.begun) == begins:
            self.fault = f"it says {said.say} of file {said.step} out of turn"
        elif self.wants_restart or self._is_asking:
            self.fault = "it goes on without the restart that a file asked for"
        elif begins:
            self.begun = said.step
        elif said.say == "differs":
            self.differing = said.step
        else:
            self.codes[said.step], self.begun = said.code, 0

    def _restart(self) -> None:
        if not self._is_asking:
            self.fault = "it wants a restart that nothing asked for"
            return
        self.restarts += 1
        self.wants_restart = True
        if self.restarts > RESTARTS_MAX:
            self.fault = f"it wants more than {RESTARTS_MAX} restarts"

    @property
    def _is_asking(self) -> bool:
        """Whether the last file asked for a restart that did not come yet."""
        last = self.codes.get(len(self.codes))
        return last in NEEDS_RESTART and self.restarts < sum(
            code in NEEDS_RESTART for code in self.codes.values()
        )
