"""Whether a booted guest does what is expected: fed with what it says, asked again and again.

Pure but for the clock and the way to the guest's ports, which it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from regild.model.health import BY_NETWORK, IN_GUEST, Expectation, Met
from regild.prove.health_script import SETTLE_SECONDS, Report

TEXT_BYTES: Final = 8192
"""How much of the console is kept to look for a text in."""

FATAL: Final = {
    b"Kernel panic - not syncing": "its kernel panicked",
    b"You are in emergency mode": "it came up in emergency mode",
    b"for maintenance": "it came up in rescue mode",
    b"grub rescue>": "its boot loader found nothing to start",
    b"(initramfs)": "its initial RAM disk found no root filesystem",
    b"dracut:/#": "its initial RAM disk found no root filesystem",
}
"""What a console says when nothing better will come."""


class Health:
    """One guest's way to what is expected of it.

    `inside` says that somebody in the guest reports; without him the end state is not known, and
    what is expected is asked until it holds or time is up.
    """

    def __init__(
        self,
        expectations: tuple[Expectation, ...],
        inside: bool,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.expectations, self.inside, self.report = expectations, inside, Report()
        self.fatal = ""
        self.timed_out = False
        self._seconds, self._clock, self._begun = seconds, clock, clock()
        self._reached: float | None = None
        self._held: dict[Expectation, str] = {}
        """What was seen last of those that are asked from outside; empty: it held."""
        self._text = b""

    def hear(self, content: bytes) -> None:
        """Take in what the console says."""
        self._text = (self._text + content)[-TEXT_BYTES - len(content) :]
        for sign, why in FATAL.items():
            if not self.fatal and sign in self._text:
                self.fatal = why
        for one in self.expectations:
            if one.kind == "console" and one.what.encode() in self._text:
                self._held[one] = ""
        self._text = self._text[-TEXT_BYTES:]

    def look(self, ask: Callable[[Expectation], str]) -> bool:
        """Ask what can be asked now; whether there is nothing more to wait for.

        `ask` says what is wrong with something on the network; nothing when it is as expected.
        """
        now = self._clock()
        if self.report.state and self._reached is None:
            self._reached = now
        if self.fatal or now - self._begun > self._seconds:
            self.timed_out = not self.fatal
            return True
        if self.inside and self._reached is None:
            return False
        for one in self.expectations:
            if one.kind in BY_NETWORK and self._held.get(one) != "":
                self._held[one] = ask(one)
        return self._is_settled(now)

    def met(self) -> tuple[Met, ...]:
        """What came of every expectation."""
        return tuple(self._met(number, one) for number, one in enumerate(self.expectations))

    def faults(self) -> tuple[str, ...]:
        """What is wrong, a sentence each; none when the guest is as expected."""
        said = [f"{one.expected}: {one.why}" for one in self.met() if not one.held]
        if self.inside and not self.report.state and not self.fatal:
            said = ["it did not come to an end of its start"]
        elif self.inside and self.report.state and not self.report.is_active:
            said.insert(0, f"{self.report.target or 'its default target'} was not reached")
        first = [self.fatal] if self.fatal else []
        if self.timed_out and said:
            first = [f"{self._seconds:.0f} seconds had passed"]
        return (*first, *said)

    def _is_settled(self, now: float) -> bool:
        outside = [one for one in self.expectations if one.kind not in IN_GUEST]
        if any(self._held.get(one) != "" for one in outside):
            settled = self._reached is not None and now - self._reached > SETTLE_SECONDS
            return settled and self.report.is_done
        return self.report.is_done or not self.inside

    def _met(self, number: int, one: Expectation) -> Met:
        if one.kind not in IN_GUEST:
            why = self._held.get(one, "it was not seen")
            return Met(one, not why, why)
        code = self.report.codes.get(number)
        if code is None:
            return Met(one, False, "it could not be asked")
        why = "" if code == 0 else f"it ended with {code}: {self.report.said(number)}"
        return Met(one, code == 0, why)
