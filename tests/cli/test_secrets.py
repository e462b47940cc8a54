"""No name and password of an image or of the site reaches anything that regild says or writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from regild.model.content import Content, Platform
from regild.model.json import from_json, to_json
from regild.model.plan import Plan
from regild.prove.receipt import make_receipt
from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.test_plan import NEW, URI, image
from tests.feeds.gates import NAME, PASSWORD, make_certificates, nginx
from tests.feeds.repositories import Suite, publish

Regild = Callable[..., Said]
INNER = "inner-Secret"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def test_no_output_tells_a_password(
    regild: Regild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keys = make_certificates(tmp_path / "keys")
    publish(tmp_path / "www/private", Suite((NEW,), date=YESTERDAY))
    auth = f"machine mirror.example login inner password {INNER}\n"
    guest = image(
        tmp_path / "image",
        URI.replace("http://", f"http://inner:{INNER}@"),
        **{"/etc/apt/auth.conf": auth, "/etc/apt/auth.conf.d/a.conf": auth},
    )
    package = golden.ova(guest.parent, golden.streamed(guest))
    with nginx(tmp_path / "nginx", tmp_path / "www", keys) as (tls, _):
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {NAME} password {PASSWORD}\n")
        mirror = f"https://127.0.0.1:{tls}/private"
        site = tmp_path / "regild.toml"
        site.write_text(
            f'[feeds]\nlogins = ["netrc"]\n[feeds.mirrors]\n"{URI}" = "{mirror}"\n'
            f'[feeds.access."{mirror}"]\nca = "{keys.ca}"\n'
        )
        with_site = ("--config", site, "--debug")
        plan = regild("plan", package, *with_site, "--json")
        assert plan.code == 10, plan.err
        said = [plan, regild("plan", package, *with_site)]
        said += [regild("feeds", "refresh", package, *with_site)]
        said += [regild("describe", package, "--debug"), regild("describe", package, "--json")]
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {NAME} password x{PASSWORD}\n")
        denied = regild("plan", package, "--config", site, "--cache", tmp_path / "c2", "--debug")
        assert denied.code == 7 and "401" in denied.err
        said.append(denied)
    made = tmp_path / "out" / "described.ova"
    made.parent.mkdir()
    assert regild("describe", package, "-o", made).code == 0
    told = from_json(Plan, plan.out)
    receipt = make_receipt(told, Content(Platform()), carrier="sandbox", checks=(), tool="regild")
    (made.parent / "receipt.json").write_text(to_json(receipt))
    texts = [one.out + one.err for one in said]
    kept = [path for top in ("out", "cache", "c2") for path in (tmp_path / top).rglob("*")]
    texts += [path.read_bytes().decode("latin-1") for path in kept if path.is_file()]
    assert len(texts) > 12
    for text in texts:
        assert PASSWORD not in text and INNER not in text
