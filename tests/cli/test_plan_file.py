"""A plan as a file: signed or not, and believed only for the image and feeds of its making."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.cli.test_plan import OLD, SUITE, YESTERDAY, image, offline
from tests.feeds.repositories import Deb

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    return image(tmp_path / "image")


def keys(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """A private key and its public one."""
    key = ed25519.Ed25519PrivateKey.generate()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return secret, public


def made(regild: Regild, guest: Path, tmp_path: Path, *more: Any) -> Path:
    out = tmp_path / "plan.json"
    said = regild("plan", guest, *offline(tmp_path), "--out", out, *more)
    assert said.code == 10, said.err
    return out


def update(tmp_path: Path, guest: Path, plan: Path, *more: Any) -> tuple[Any, ...]:
    return (
        "update", guest, "-o", tmp_path / "out.raw", "--offline", tmp_path / "mirror",
        "--plan", plan, *more,
    )  # fmt: skip


def test_a_plan_file_is_the_answer_itself(regild: Regild, guest: Path, tmp_path: Path) -> None:
    plan = json.loads(made(regild, guest, tmp_path).read_text())
    assert valid("plan", plan) == regild("plan", guest, *offline(tmp_path), "--json").json
    again = regild("plan", guest, *offline(tmp_path), "--out", tmp_path / "plan.json")
    assert again.code == 13
    forced = regild("plan", guest, *offline(tmp_path), "--out", tmp_path / "plan.json", "--force")
    assert forced.code == 10


def test_a_feed_that_moved_is_refused(regild: Regild, guest: Path, tmp_path: Path) -> None:
    plan = made(regild, guest, tmp_path)
    offline(tmp_path, replace(SUITE, date=YESTERDAY + timedelta(hours=1)))
    refused(regild, 7, "PlanMoved", *update(tmp_path, guest, plan))


def test_an_image_that_moved_is_refused(regild: Regild, guest: Path, tmp_path: Path) -> None:
    plan = made(regild, guest, tmp_path)
    older = Deb("tool", "0.9").status()
    other = image(tmp_path / "other", **{"/var/lib/dpkg/status": older})
    refused(regild, 7, "PlanMoved", *update(tmp_path, other, plan))


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["steps"].clear(),
        lambda plan: plan["steps"][0].update(to="1.2"),
        lambda plan: plan["steps"][0]["archive"].update(digest="sha256:" + "0" * 64),
        lambda plan: plan.update(mode="full"),
        lambda plan: plan.update(asked="sha256:" + "0" * 64),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    regild: Regild, guest: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = made(regild, guest, tmp_path)
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(plan))
    refused(regild, 4, "Malformed", *update(tmp_path, guest, path))


def test_a_plan_with_another_file_of_a_package_is_refused(
    regild: Regild, guest: Path, tmp_path: Path
) -> None:
    """Also where whoever changed it has given it the right id."""
    from msgspec.structs import replace as changed

    from regild.model.json import from_json, to_json
    from regild.model.plan import Mark, Plan, Step
    from regild.plan.steps import identity_of

    path = made(regild, guest, tmp_path)
    plan = from_json(Plan, path.read_text())
    (step,) = plan.steps
    assert step.archive is not None
    elsewhere = changed(step.archive, uri="http://x.example/a.deb")
    gone, strange = Step("remove", "-oA=b", "all", "1"), (Mark("-oA=b", "amd64", True),)
    for steps, marks, expected in (
        ((changed(step, archive=elsewhere),), (), plan.expected),
        ((step,), (), ()),
        ((), (), plan.expected),
        ((step, gone), (), plan.expected),
        ((step,), strange, plan.expected),
        ((step,), (Mark(step.name, step.arch, True),), plan.expected),
    ):
        forged = changed(plan, steps=steps, marks=marks, expected=expected)
        path.write_text(to_json(changed(forged, id=identity_of(forged))))
        refused(regild, 4, "Malformed", *update(tmp_path, guest, path))


def test_a_signed_plan_is_verified(regild: Regild, guest: Path, tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    _, stranger = keys(tmp_path, "other")
    plan = made(regild, guest, tmp_path, "--key", secret)
    assert json.loads(plan.read_text())["payloadType"] == "application/vnd.regild.plan+json"
    refused(regild, 2, "UsageError", *update(tmp_path, guest, plan))
    refused(regild, 6, "SignatureRefused", *update(tmp_path, guest, plan, "--trust", stranger))
    offline(tmp_path, replace(SUITE, date=YESTERDAY + timedelta(hours=1)))
    # It is believed, so what is said next is that the feed has moved.
    refused(regild, 7, "PlanMoved", *update(tmp_path, guest, plan, "--trust", public))
    bare = tmp_path / "bare.json"
    regild("plan", guest, *offline(tmp_path), "--accept-older", "--out", bare)
    argv = update(tmp_path, guest, bare, "--trust", public)
    refused(regild, 6, "SignatureRefused", *argv)
    said = regild(*argv).err
    assert "nobody signed it" in said and "have it signed" in said and "changed it" not in said


def test_a_site_may_ask_for_signed_plans(regild: Regild, guest: Path, tmp_path: Path) -> None:
    _, public = keys(tmp_path)
    (tmp_path / "regild.toml").write_text(f'[plan]\ntrust = "{public.name}"\n')
    argv = update(tmp_path, guest, made(regild, guest, tmp_path))
    refused(regild, 6, "SignatureRefused", *argv, "--config", tmp_path / "regild.toml")


@pytest.mark.parametrize("text", ["", "[]", "{}", "no", '{"payloadType": 3}', '{"id": "x"}'])
def test_what_is_no_plan(regild: Regild, guest: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    said = regild(*update(tmp_path, guest, tmp_path / "plan.json"))
    assert said.code in (2, 4), said.err


def test_wishes_beside_a_plan_are_a_usage_error(
    regild: Regild, guest: Path, tmp_path: Path
) -> None:
    plan = made(regild, guest, tmp_path)
    refused(regild, 2, "UsageError", *update(tmp_path, guest, plan, "--mode", "full"))
    refused(regild, 2, "UsageError", *update(tmp_path, guest, plan, "--hold", "tool"))
    where = ("--offline", tmp_path / "mirror", "-o", tmp_path / "x.raw")
    refused(regild, 2, "UsageError", "update", guest, *where, "--trust", plan)
    refused(regild, 2, "UsageError", "plan", guest, *where[:2], "--key", plan)


def test_nothing_to_do_makes_nothing(regild: Regild, guest: Path, tmp_path: Path) -> None:
    where = offline(tmp_path, replace(SUITE, debs=(OLD,)))
    said = regild("update", guest, "-o", tmp_path / "out.raw", *where, "--json")
    assert said.code == 0, said.err
    assert valid("update", said.json)["output"] is None
    held = regild("update", guest, "-o", tmp_path / "out.raw", *offline(tmp_path), "--hold", "tool")
    assert held.code == 11, held.err
    assert not list(tmp_path.glob("out*"))
