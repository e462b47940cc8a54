"""Where entries lie in an index: every name is found, none that is not there, and what is kept is
believed only whole."""

from pathlib import Path

import msgspec
import pytest

from regild.feeds.places import keep_places

DECODER = msgspec.msgpack.Decoder(dict[str, list[int]])
TABLE = {f"package-{number}": [number, number + 1] for number in range(20_000)}


def never() -> dict[str, list[int]]:
    raise AssertionError("it was to be read, not made")


def test_every_name_is_found_in_what_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "names"
    made, read = keep_places(kept, DECODER, lambda: TABLE), keep_places(kept, DECODER, never)
    for places in (made, read):
        assert {name: places.find(name) for name in TABLE} == TABLE
        assert sorted(places) == sorted(TABLE)
        assert places.find("package-20000") == []
        assert places.find("\udcff") == []


@pytest.mark.parametrize("at", [0, 1, 5, 1000, -1])
def test_what_is_kept_and_damaged_is_made_again(tmp_path: Path, at: int) -> None:
    kept = tmp_path / "names"
    keep_places(kept, DECODER, lambda: TABLE)
    content = bytearray(kept.read_bytes())
    content[at] ^= 0x11
    kept.write_bytes(content)
    assert keep_places(kept, DECODER, lambda: {"other": [7]}).find("other") == [7]
    assert keep_places(kept, DECODER, never).find("other") == [7]


def test_what_another_version_kept_is_made_again(tmp_path: Path) -> None:
    kept = tmp_path / "names"
    kept.write_bytes(msgspec.msgpack.encode(TABLE))
    assert keep_places(kept, DECODER, lambda: {"other": [7]}).find("other") == [7]
