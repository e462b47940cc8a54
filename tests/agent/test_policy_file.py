"""The agent's policy: what it says is kept, and what is wrong is said with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from regild.agent.policy_file import policy_for, read_agent_policy
from regild.agent.site import read_site
from regild.errors import MissingFile, UsageError
from regild.model.policy import Notices

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WINDOWS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//EN
BEGIN:VEVENT
UID:night@site.example
DTSTAMP:20260101T000000Z
DTSTART:{day}T220000Z
DTEND:{day}T235900Z
{rule}END:VEVENT
END:VCALENDAR
"""
WHOLE = """\
[plan]
mode = "security"

[agent]
every = "30m"
tick = 20
groups = ["web-*"]

[agent.images.web]
channels = ["dev", "production"]
bake = "2h"
approval = ["production"]
windows = "windows.ics"
targets = ["oci://registry.example/web"]

[agent.images."*"]
mode = "full"

[agent.notify]
webhooks = ["https://hooks.example/regild"]
secret = "hook.key"
mail = ["operators@site.example"]
sender = "regild@site.example"
smtp = "mail.example:2525"
on = ["halted"]
"""


def written(folder: Path, text: str, day: str = "20260601", rule: str = "") -> Path:
    (folder / "windows.ics").write_text(WINDOWS.format(day=day, rule=rule))
    path = folder / "regild.toml"
    path.write_text(text)
    return path


def test_everything_that_is_said_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    policy = read_agent_policy(path, NOW)
    assert (policy.every_seconds, policy.tick_seconds, policy.groups) == (1800, 20, ("web-*",))
    web = policy_for(policy, "web")
    assert web is not None
    assert (web.channels, web.bake_seconds) == (("dev", "production"), 7200)
    assert web.windows.startswith("BEGIN:VCALENDAR")
    other = policy_for(policy, "db")
    assert other is not None
    assert (other.mode, other.update) == ("full", True)
    assert policy.notices == Notices(
        webhooks=("https://hooks.example/regild",),
        secret=str(tmp_path / "hook.key"),
        mail=("operators@site.example",),
        smtp="mail.example:2525",
        sender="regild@site.example",
        on=("halted",),
    )
    assert read_site(path).plan.mode == "security"  # the rest of the file is the site's as before


@pytest.mark.parametrize(
    ("was", "becomes", "line", "why"),
    [
        ('every = "30m"', 'every = "often"', 5, "is a time such as"),
        ('every = "30m"', "every = 1", 5, "is at least 10s"),
        ("tick = 20", "tock = 20", 6, "tock: there is no such setting"),
        ('bake = "2h"', 'bake = "-1h"', 11, "is a time such as"),
        ('["production"]\nwin', '["prod"]\nwin', 12, "prod is none of its channels"),
        ('["dev", "production"]', '["dev", "dev"]', 10, "names one twice"),
        ('mode = "full"', 'mode = "fuller"', 17, "is one of upgrade, security, full, not 'fuller'"),
        ("https://hooks.example/regild", "hooks.example", 20, "no address of a web server"),
        ('sender = "regild@site.example"\n', "", 19, "says from whom mail comes"),
        ("mail.example:2525", "mail.example", 24, "is HOST:PORT"),
        (
            'on = ["halted"]',
            'on = ["never"]',
            25,
            "is one of pending, done, halted, revoked, not 'never'",
        ),
        ('"operators@site.example"', '"a@b.example\\r\\nBcc: c@d.example"', 22, "is no address"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, was: str, becomes: str, line: int, why: str
) -> None:
    assert WHOLE.count(was) == 1
    path = written(tmp_path, WHOLE.replace(was, becomes))
    with pytest.raises(UsageError) as refused:
        read_agent_policy(path, NOW)
    assert f"{path}, line {line}: " in str(refused.value)
    assert why in str(refused.value)


def test_a_window_that_never_opens_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE, day="20250101")
    with pytest.raises(UsageError, match=r"line 13: .*opens at no time in the next 400 days"):
        read_agent_policy(path, NOW)
    (tmp_path / "windows.ics").write_text("no calendar")
    with pytest.raises(UsageError, match=r"line 13: .*windows"):
        read_agent_policy(path, NOW)
    (tmp_path / "windows.ics").unlink()
    with pytest.raises(MissingFile):
        read_agent_policy(path, NOW)


def test_an_agent_without_a_policy_does_nothing_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no regild\.toml"):
        read_agent_policy(None, NOW)
    (tmp_path / "regild.toml").write_text("[plan]\n")
    with pytest.raises(UsageError, match=r"does not say under \[agent\]"):
        read_agent_policy(None, NOW)
    (tmp_path / "regild.toml").write_text("[agent\n")
    with pytest.raises(UsageError, match="line 1"):
        read_agent_policy(None, NOW)
