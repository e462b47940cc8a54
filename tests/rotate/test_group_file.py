"""A group's file: what it says, and where it is wrong."""

import pytest

from regild.errors import GroupRefused
from regild.model.rotation import Amount
from regild.rotate.group_file import read_group

GOOD = """\
[group]
name = "web"
image = "web"
channel = "production"
driver = "libvirt"
size = 12

[rollout]
mode = "proactive"
max_surge = "10%"
max_unavailable = 1
canary = 2
waves = ["25%", "100%"]
bake = "30m"
max_failed = 1
approval = "canary"

[health]
kind = "http"
target = "8080/healthy"
within = "5m"

[drain]
wait_for_logoff = true
grace = "1h"

[calendar]
windows = "windows.ics"
step = 90

[options]
uri = "qemu:///system"
memory = 512
"""


def read(text: str, name: str = "web.toml") -> object:
    return read_group(text, name, lambda path: f"text of {path}")


def test_every_setting_arrives() -> None:
    group = read_group(GOOD, "web.toml", lambda path: f"text of {path}")
    assert (group.name, group.size, group.windows) == ("web", 12, "text of windows.ics")
    assert group.rollout.max_surge == Amount(10, percent=True)
    assert group.rollout.waves == (Amount(25, percent=True), Amount(100, percent=True))
    assert (group.rollout.bake_seconds, group.health.within_seconds) == (1800, 300)
    assert (group.drain.grace_seconds, group.step_seconds) == (3600, 90)
    assert group.options == {"uri": "qemu:///system", "memory": "512"}


WRONG = [
    ("size = 12", "size = 'many'", 6, "size: is a whole number, not a text"),
    ("size = 12", "size = -1", 6, "from 0 to"),
    ("size = 12", "", 1, "size: has to be said"),
    ('name = "web"', 'name = "../web"', 2, "small letters"),
    ("canary = 2", "canary = -1", 12, "negative"),
    (
        'mode = "proactive"',
        'mode = "at once"',
        9,
        "mode: is one of proactive, opportunistic, staged, not 'at once'",
    ),
    ('kind = "http"', 'kind = "portt"', 19, "is one of none, boot, port, http, command, agent"),
    ('"8080/healthy"', '"healthy"', 20, "is a port and a path such as 8080/healthy, not 'healthy'"),
    ('"8080/healthy"', "65536", 20, "is a port and a path"),
    ('kind = "http"', 'kind = "port"', 20, "is a port such as 8080, not '8080/healthy'"),
    ('max_surge = "10%"', 'max_surge = "some"', 10, "25%"),
    ('max_surge = "10%"\nmax_unavailable = 1', "max_surge = 0\nmax_unavailable = 0", 10, "both 0"),
    ('bake = "30m"', 'bake = "soon"', 14, "90s"),
    ('waves = ["25%", "100%"]', 'waves = ["50%", "25%"]', 13, "grow"),
    ("max_failed = 1", "max_failed = 1\nmin_ready = 13", 16, "more than the group has"),
    ('target = "8080/healthy"', "", 18, "http is to look at"),
    ("[options]", "[driver_options]", 31, "is not a table"),
    ("canary = 2", "canaries = 2", 12, "canaries: there is no such setting"),
    ("canary = 2", "canary = ", 12, "Invalid value"),
    ('waves = ["25%", "100%"]', "waves = 4", 13, "waves: is a list, not a whole number"),
    ("memory = 512\n", "memory = [", 33, "Invalid value (at line 33, the last one)"),
]


@pytest.mark.parametrize(("here", "instead", "line", "why"), WRONG)
def test_what_is_wrong_is_said_with_its_line(here: str, instead: str, line: int, why: str) -> None:
    assert here in GOOD
    with pytest.raises(GroupRefused) as caught:
        read(GOOD.replace(here, instead))
    assert f"line {line}" in str(caught.value)
    assert why in str(caught.value)


def test_no_surge_and_all_of_them_ready_cannot_be() -> None:
    text = GOOD.replace('"10%"', "0").replace("max_failed = 1", "min_ready = 12")
    with pytest.raises(GroupRefused, match="there is no surge"):
        read(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(GroupRefused):
        read("a = " + "[" * 20_000)
