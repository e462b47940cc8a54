"""A booted guest is as expected only when it says so at the end of its start, and in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regild.errors import UsageError
from regild.model.health import Expectation, read_expectation, read_expectations
from regild.prove.equipment import choose_bus, choose_firmware, choose_nic
from regild.prove.health import FATAL, Health
from regild.prove.health_script import SETTLE_SECONDS, write_script

UNIT, COMMAND = Expectation("unit", "ssh.service"), Expectation("command", "test -e /x")
PAGE, CONSOLE = Expectation("http", "80/health"), Expectation("console", "login:")

UP = b"\x01test target multi-user.target active\n\x01test state running\n"


class Clock:
    """Time as a test wants it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def health(*expected: Expectation, inside: bool = True) -> tuple[Health, Clock]:
    clock = Clock()
    return Health(expected, inside, 300, clock), clock


def good(_: Expectation) -> str:
    return ""


def bad(_: Expectation) -> str:
    return "it answers with 502"


def test_the_first_sign_of_life_is_not_the_end_of_the_start() -> None:
    one, _ = health(PAGE)
    one.hear(b"Welcome to Debian\nlogin: ")
    assert not one.look(good)
    one.report.take(UP)
    assert not one.look(good)
    one.report.take(b"\x01test done\n")
    assert one.look(good)
    assert one.faults() == ()
    assert one.report.target == "multi-user.target"


def test_a_guest_that_meets_all_has_no_fault() -> None:
    one, _ = health(UNIT, COMMAND, PAGE, CONSOLE)
    one.hear(b"Debian lo")
    one.hear(b"gin: ")
    told = b"\x01test begin 0\nactive\n\x01test end 0 0\n\x01test begin 1\n\x01test end 1 0\n"
    one.report.take(UP + told + b"\x01test done\n")
    assert one.look(good)
    assert [met.held for met in one.met()] == [True] * 4


@pytest.mark.parametrize(
    ("told", "ask", "words"),
    [
        (UP + b"\x01test begin 0\ninactive\n\x01test end 0 3\n\x01test done\n", good, "inactive"),
        (UP + b"\x01test end 0 0\n\x01test done\n", bad, "502"),
        (UP + b"\x01test done\n", good, "it could not be asked"),
        (UP.replace(b"active", b"inactive") + b"\x01test end 0 0\n\x01test done\n", good, "target"),
        (b"", good, "did not come to an end of its start"),
    ],
)
def test_what_is_not_met_is_told(
    told: bytes, ask: Callable[[Expectation], str], words: str
) -> None:
    one, clock = health(UNIT, PAGE)
    one.report.take(told)
    one.look(ask)
    clock.now = 301
    assert one.look(ask)
    assert words in "; ".join(one.faults())


def test_the_network_has_some_time_after_the_start() -> None:
    one, clock = health(PAGE)
    one.report.take(UP + b"\x01test done\n")
    assert not one.look(bad)
    clock.now = SETTLE_SECONDS - 1
    assert not one.look(bad)
    assert one.look(good)
    assert one.faults() == ()


def test_the_network_is_not_waited_for_longer_than_that() -> None:
    one, clock = health(PAGE)
    one.report.take(UP + b"\x01test done\n")
    assert not one.look(bad)
    clock.now = SETTLE_SECONDS + 1
    assert one.look(bad)
    assert "502" in one.faults()[0]


@pytest.mark.parametrize("sign", FATAL)
def test_what_will_not_get_better_is_not_waited_for(sign: bytes) -> None:
    one, _ = health(UNIT)
    one.hear(b"x" * 8000 + sign[:4])
    one.hear(sign[4:])
    assert one.look(good)
    assert one.faults()[0] == FATAL[sign]


def test_without_somebody_inside_the_network_and_the_console_have_to_do() -> None:
    one, _ = health(PAGE, CONSOLE, inside=False)
    assert not one.look(bad)
    one.hear(b"login:")
    assert not one.look(bad)
    assert one.look(good)
    assert one.faults() == ()


def test_time_that_is_up_is_told_first() -> None:
    one, clock = health(UNIT)
    clock.now = 301
    assert one.look(good)
    assert one.faults()[0] == "300 seconds had passed"


def test_a_guest_can_say_nothing_that_is_no_report() -> None:
    one, _ = health(COMMAND)
    hostile = (
        b"\x01test state \x1b[2J\n\x01test end 0 0 0\n\x01test end 9999 0\n" + b"y" * 3_000_000
    )
    one.report.take(hostile)
    assert (one.report.state, one.report.codes, one.report.is_done) == ("", {}, False)


@pytest.mark.parametrize(
    "text",
    ["", "unit:", "unit:a b", "tcp:0", "tcp:65536", "tcp:x", "http:80health", "http:80/a b",
     "command:", "command:a\nb", "running:1", "console:", "ping:1", "unit:x;reboot"],
)  # fmt: skip
def test_an_expectation_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--expect"):
        read_expectation(text)


def test_expectations_are_read_as_they_are_written() -> None:
    texts = ("unit:a@b.service", "tcp:22", "http:80", "https:443/x?y=1", "command:a 'b' | c",
             "console:x: y", "running")  # fmt: skip
    found = read_expectations((*texts, "tcp:22"))
    assert tuple(map(str, found)) == texts
    assert [(one.port, one.path) for one in found[1:4]] == [(22, "/"), (80, "/"), (443, "/x?y=1")]


def test_a_command_is_one_word_for_the_guests_shell() -> None:
    said = write_script([Expectation("command", "echo 'a' $(id) > /x")])
    assert "sh -c 'echo '\"'\"'a'\"'\"' $(id) > /x'" in said


VIRTIO = frozenset(("virtio_blk", "virtio_pci", "virtio_net", "ahci"))


def test_hardware_is_what_is_asked_for_where_the_guest_can_use_it() -> None:
    assert choose_bus("lsi", VIRTIO) == "virtio"
    assert choose_bus("sata", VIRTIO) == "sata"
    assert choose_bus(None, VIRTIO) == "virtio"
    assert choose_bus("lsi", frozenset()) == "lsi"
    assert choose_bus(None, frozenset()) == "ide"
    assert choose_nic("e1000", VIRTIO) == "virtio"
    assert choose_nic("e1000", VIRTIO | {"e1000"}) == "e1000"
    assert choose_nic(None, frozenset()) == "e1000"


def test_firmware_is_what_is_asked_for_or_what_the_disk_is_made_for() -> None:
    loader = b"\xeb" + bytes(511)
    assert choose_firmware("efi", loader, False) == "efi"
    assert choose_firmware(None, loader, True) == "bios"
    assert choose_firmware(None, bytes(512), True) == "efi"
    assert choose_firmware(None, bytes(512), False) == "bios"
