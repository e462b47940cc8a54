from __future__ import annotations

import random
import subprocess
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from regild.errors import UsageError
from regild.model.content import Content, Package, Platform, Unknown
from regild.model.digest import sha256_of
from regild.model.generation import Reference
from regild.model.group import KnownInstance
from regild.model.plan import FeedState
from regild.model.question import read_question
from regild.model.versions import debian_key
from regild.store import Catalogue
from regild.store.channels import promote
from regild.store.events import list_events
from regild.store.feed_uses import keep_feeds, outdated
from regild.store.generations import list_generations
from regild.store.groups import save_group
from regild.store.images import add_image
from regild.store.instances import save_instance
from regild.store.query import ask
from regild.store.revocation import revoke
from tests.store.samples import DAY, add, content_of


@pytest.mark.parametrize(
    "text",
    [
        "package:libssl3 < 3.0.17",
        "not package:libssl3",
        "source:openssl >= 3.0 and channel:prod* and not group:shop",
        "platform:debian-12 and image:web",
    ],
)
def test_a_question_is_said_again_as_it_was_understood(text: str) -> None:
    assert " and ".join(map(str, read_question(text))) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not understood at 'its end'"),
        ("libssl3", "not understood at 'libssl3'"),
        ("colour:red", "colour is none of package"),
        ("image:web < 3", "image has no versions"),
        ("package:a or package:b", "joined by 'and'"),
        ("package:a <", "joined by 'and'"),
        ("package:a and", "joined by 'and'"),
        ("package:" + "a" * 5000, "at most"),
    ],
)
def test_a_question_that_is_none_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_question(text)


@pytest.fixture
def asked(catalogue: Catalogue) -> Callable[..., list[str]]:
    """A small world, and a question to it."""
    with catalogue.writing("tests", DAY) as change:
        add_image(change, "web")
        add_image(change, "db")
        add_image(change, "odd")
        add(change, "web", 1, content=content_of(("libssl3", "3.0.16-1"), ("nginx", "1.22")))
        add(change, "web", 2, content=content_of(("libssl3", "3.0.17-1"), ("nginx", "1.22")))
        add(change, "db", 3, content=content_of(("libssl3", "3.0.9-1"), type="rpm"))
        add(change, "odd", 4, content=content_of(("libssl3", "3.0.1"), type="pypi"))
        add(change, "odd", 5)
        part = replace(content_of(("bash", "5")), unknowns=(Unknown("/var", "not read"),))
        add(change, "odd", 6, content=part)
        promote(change, Reference("web", "1"), "production")
        promote(change, Reference("web", "2"), "canary")
        save_group(change, "shop", "", "web", "production")
        save_instance(change, KnownInstance("shop", "shop-1", "running", current="web@1"))
        revoke(change, Reference("db", "1"), DAY, "test")

    def say(text: str, in_use: bool = False) -> list[str]:
        with catalogue.reading(DAY) as view:
            rows, unknowns = ask(view, read_question(text), in_use=in_use)
        return [one.generation for one in rows] + [f"?{one.where}" for one in unknowns]

    return say


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("package:libssl3 < 3.0.17", ["db@1", "web@1", "?odd@2", "?odd@1", "?odd@3"]),
        ("package:libssl3 = 3.0.1", ["odd@1", "?odd@2", "?odd@3"]),
        ("package:libssl3 and image:w*", ["web@1", "web@2"]),
        ("package:libssl3 > 3.0.16-1 and channel:canary", ["web@2"]),
        ("not package:nginx and image:db", ["db@1"]),
        ("channel:*", ["web@1", "web@2"]),
        ("group:shop", ["web@1"]),
        ("platform:debian-12 and image:web", ["web@1", "web@2"]),
        ("platform:debian-11 and image:web", []),
        ("package:bash and image:odd", ["odd@3", "?odd@2"]),
    ],
)
def test_what_fits_is_found_and_what_cannot_be_said_is_said(
    asked: Callable[..., list[str]], text: str, found: list[str]
) -> None:
    assert asked(text) == found


def test_what_is_not_in_use_can_be_left_out(asked: Callable[..., list[str]]) -> None:
    assert asked("package:libssl3 < 4", in_use=True) == ["web@1", "web@2"]


def test_a_row_tells_why_it_is_there_and_where_it_runs(
    asked: Callable[..., list[str]], catalogue: Catalogue
) -> None:
    with catalogue.reading(DAY) as view:
        rows, _ = ask(view, read_question("package:libssl3 < 3.0.17"))
    assert [(one.generation, one.revoked) for one in rows] == [("db@1", True), ("web@1", False)]
    web = rows[1]
    assert web.packages == ("libssl3 3.0.16-1",)
    assert (web.channels, web.groups, web.instances) == (
        ("production",),
        ("shop",),
        ("shop/shop-1",),
    )


def real_packages() -> list[Package]:
    """Packages of this machine's own archive, as its index has them."""
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n"], capture_output=True
    )
    pairs = [line.split() for line in told.stdout.decode().splitlines()]
    return [Package("deb", name, version, "amd64") for name, version in pairs]


def test_many_real_contents_are_found_as_a_walk_through_all_of_them_finds_them(
    catalogue: Catalogue,
) -> None:
    chance, every = random.Random(1), real_packages()
    contents: dict[str, Content] = {}
    with catalogue.writing("tests", DAY) as change:
        for number in range(60):
            held = tuple(
                replace(one, version=f"{one.version}{chance.choice(['', '~1', '+1'])}")
                for one in chance.sample(every, 60)
            )
            name = f"image{number}"
            contents[f"{name}@1"] = Content(Platform("linux", "debian", "12"), held)
            add_image(change, name)
            add(change, name, number, content=contents[f"{name}@1"])
    for package in chance.sample(every, 12):
        with catalogue.reading() as view:
            text = f"package:{package.name} < {package.version}"
            rows, unknowns = ask(view, read_question(text))
        walked = sorted(
            name
            for name, content in contents.items()
            for one in content.packages
            if one.name == package.name and debian_key(one.version) < debian_key(package.version)
        )
        assert sorted(one.generation for one in rows) == walked
        assert unknowns == ()


def test_a_changed_suite_touches_only_the_generations_planned_from_it(
    catalogue: Catalogue,
) -> None:
    def feed(suite: str, state: str) -> FeedState:
        return FeedState("http://mirror.example/debian", suite, sha256_of(state.encode()), "")

    with catalogue.writing("tests", DAY) as change:
        for number in range(40):
            name = f"image{number}"
            add_image(change, name)
            add(change, name, number)
            suites = ["bookworm", "trixie"][number % 2 :][:1] + ["common"] * (number == 7)
            keep_feeds(change, Reference(name, "1"), [feed(one, "old") for one in suites])
    with catalogue.reading() as view:
        assert outdated(view, [feed("bookworm", "old"), feed("trixie", "old")]) == ()
        changed = outdated(view, [feed("bookworm", "new"), feed("trixie", "old")])
        assert set(changed) == {f"image{number}@1" for number in range(0, 40, 2)}
        assert outdated(view, [feed("common", "new")]) == ("image7@1",)
    with catalogue.writing("tests") as change:
        keep_feeds(change, Reference("image0", "1"), [feed("bookworm", "new")])
        assert "image0@1" not in outdated(change, [feed("bookworm", "new")])
        assert len(list_generations(change)) == 40
        assert list_events(change, kind="never") == ()
