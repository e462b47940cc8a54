"""What a run in a Windows reports: every word in its turn, and nothing else believed."""

import json

import pytest

from regild.change.windows_report import LINE_BYTES_MAX, RESTARTS_MAX, Report

HELLO = {"say": "hello", "step": 1}
DONE = {"say": "done", "build": "20348", "ubr": 2900}


def line(**said: object) -> bytes:
    return b"\r\nregild " + json.dumps(said).encode() + b"\r\n"


def step(number: int, code: int = 0) -> bytes:
    return line(say="begin", step=number) + line(say="end", step=number, code=code)


def report(steps: int, *pieces: bytes) -> Report:
    found = Report(steps)
    for piece in pieces:
        found.take(piece)
    return found


def test_a_whole_report_is_believed_byte_by_byte() -> None:
    whole = line(**HELLO) + step(1) + step(2, 0x240006) + line(**DONE)
    for pieces in ([whole], [bytes([one]) for one in whole]):
        found = report(2, *pieces)
        assert (found.is_done, found.fault, found.failed) == (True, "", 0)
        assert (found.build, found.ubr, found.codes) == ("20348", 2900, {1: 0, 2: 0x240006})


def test_a_restart_is_gone_on_from() -> None:
    found = report(2, line(**HELLO), step(1, 3010), line(say="restart"))
    assert found.wants_restart and not found.is_over
    found.begin_again()
    found.take(line(say="hello", step=2) + step(2, 3010) + line(say="restart"))
    found.begin_again()
    found.take(line(say="hello", step=3) + line(**DONE))
    assert (found.is_done, found.fault, found.restarts) == (True, "", 2)


def test_what_firmware_and_windows_say_is_passed_over() -> None:
    noise = b"\x1b[2J\x1b[01;01HBdsDxe: starting Boot0001\r\n<?xml\xff\xfe>" + b"z" * 5000
    found = report(1, noise, line(**HELLO), b"SAC>\r\n", step(1), line(**DONE))
    assert found.is_done and not found.fault


@pytest.mark.parametrize(
    "pieces",
    [
        [step(1)],
        [line(**HELLO), line(**HELLO)],
        [line(say="hello", step=2)],
        [line(**HELLO), step(2)],
        [line(**HELLO), step(3)],
        [line(**HELLO), line(say="end", step=1)],
        [line(**HELLO), line(say="begin", step=1), line(say="begin", step=1)],
        [line(**HELLO), line(say="begin", step=1), line(**DONE)],
        [line(**HELLO), step(1), line(**DONE)],
        [line(**HELLO), step(1), line(say="restart")],
        [line(**HELLO), step(1, 3010), step(2)],
        [line(**HELLO), step(1), step(2, 3010), line(**DONE)],
        [line(**HELLO), step(1, 3010), line(say="restart"), step(2)],
        [line(**HELLO), step(1, 3010), line(say="restart"), line(**DONE)],
        [line(**HELLO), step(1), step(2), line(**DONE), line(**HELLO)],
        [line(**HELLO), step(1), step(2), line(**DONE), step(1)],
        [line(say="shout")],
        [line(say="hello", step=1, more=True)],
        [line(say="hello", step="1")],
        [line(say="hello", step=-1)],
        [line(say="done", build="1; rm", ubr=1)],
        [b"regild {\xff}\n"],
        [b"regild [" + b"[" * 900 + b"\n"],
        [b"regild null\n"],
    ],
)
def test_what_contradicts_its_orders_is_not_believed(pieces: list[bytes]) -> None:
    found = report(2, *pieces)
    assert found.fault and found.is_over and not (found.is_done and found.codes == {1: 0})


def test_a_line_without_end_is_let_go_of_and_one_of_ours_is_bounded() -> None:
    found = report(1)
    for _ in range(30):
        found.take(b"x" * 100_000 + b"regild {}")
        assert len(found._rest) <= LINE_BYTES_MAX
    found.take(b"\n" + line(**HELLO))
    assert not found.fault
    whole = line(say="broken", why="x" * LINE_BYTES_MAX)
    for pieces in ([whole], [bytes([one]) for one in whole], [whole[:-2]]):
        assert "longer" in report(1, line(**HELLO), *pieces).fault


def test_restarts_are_bounded() -> None:
    found = Report(RESTARTS_MAX + 1)
    for number in range(1, RESTARTS_MAX + 2):
        found.begin_again()
        found.take(line(say="hello", step=number) + step(number, 1641) + line(say="restart"))
    assert f"more than {RESTARTS_MAX}" in found.fault


def test_a_step_that_failed_and_a_file_that_differs_are_told_apart() -> None:
    assert report(2, line(**HELLO), step(1, -2145124329)).failed == 1
    differs = report(1, line(**HELLO), line(say="begin", step=1), line(say="differs", step=1))
    assert (differs.differing, differs.fault, differs.is_over) == (1, "", True)
    broken = report(1, line(**HELLO), line(say="broken", why="no port"))
    assert (broken.broken, broken.is_over) == ("no port", True)
