from __future__ import annotations

from sqlalchemy import func, select

from regild.model.content import Content, Package, Platform, Unknown
from regild.model.versions import sort_key
from regild.store import Catalogue
from regild.store.contents import keep_content, key_of
from regild.store.schema import holdings, platforms, releases
from tests.store.samples import content_of


def count(catalogue: Catalogue, table: object) -> int:
    with catalogue.reading() as view:
        return int(view.connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type] # a Table


def test_a_package_that_many_contents_hold_is_one_row(catalogue: Catalogue) -> None:
    with catalogue.writing("tests") as change:
        first = keep_content(change, content_of(("a", "1"), ("b", "2")))
        second = keep_content(change, content_of(("a", "1"), ("b", "3")))
        assert keep_content(change, content_of(("a", "1"), ("b", "2"))) == first != second
    assert count(catalogue, releases) == 3
    assert count(catalogue, holdings) == 4


def test_a_row_sorts_as_its_familys_versions_do(catalogue: Catalogue) -> None:
    held = [("a", "1.0"), ("a", "1.0~rc1"), ("a", "1:0.1"), ("a", "1.0-1")]
    with catalogue.writing("tests") as change:
        keep_content(change, content_of(*held))
        wanted = select(releases.c.version).order_by(releases.c.sort_key)
        found = list(change.connection.execute(wanted).scalars())
    assert found == ["1.0~rc1", "1.0", "1.0-1", "1:0.1"]


def test_what_a_database_would_refuse_is_kept_in_other_signs(catalogue: Catalogue) -> None:
    odd = Package("deb", "a\x00b\udcff" + "x" * 300, "1\x00", "x" * 50, state="half-configured")
    system = Platform("linux", "d" * 90, "12\x00", arch="a" * 90)
    content = Content(system, (odd,), unknowns=(Unknown("x", "y"),))
    with catalogue.writing("tests") as change:
        keep_content(change, content)
        row = change.connection.execute(select(releases)).one()
        platform = change.connection.execute(select(platforms)).one()
    assert row.name == key_of(odd)[1]
    assert (len(row.name), len(row.arch)) == (255, 40)
    assert row.name.startswith("a\\x00b\\udcffxxx")
    assert (platform.id, platform.version) == ("d" * 77 + "...", "12\\x00")
    assert (platform.arch, platform.packages, platform.unknowns) == ("a" * 37 + "...", 1, 1)


def test_a_family_without_an_order_has_no_key_and_is_kept_all_the_same(
    catalogue: Catalogue,
) -> None:
    with catalogue.writing("tests") as change:
        keep_content(change, content_of(("requests", "2.0"), type="pypi"))
        assert change.connection.execute(select(releases.c.sort_key)).scalar_one() is None
    assert sort_key("deb", "2.0") is not None
