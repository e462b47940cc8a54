from datetime import UTC, datetime

from regild.cli.render import describe_text, diff_text, plan_text, update_text, verify_text
from regild.model.answers import (
    Change,
    DescribeAnswer,
    DiffAnswer,
    DiskAnswer,
    ManifestAnswer,
    Output,
    PlanAnswer,
    SystemState,
    UpdateAnswer,
    VerifyAnswer,
)
from regild.model.appliance import DescriptorState
from regild.model.content import Package, Platform, Source, Unknown
from regild.model.digest import Digest
from regild.model.plan import Difference, FeedState, Mark, Skipped, Step
from regild.model.receipt import Receipt

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"
DIGEST = Digest("sha256:" + "ab" * 32)
DEBIAN = Platform(
    family="linux",
    id="debian",
    version="12.5",
    codename="bookworm",
    name="Debian GNU/Linux 12 (bookworm)",
    arch="amd64",
    kernels=("6.1.0-18-cloud-amd64",),
)
UNKNOWN = Unknown(where=f"partition 3{HOSTILE}", why="LVM is not read")
PACKAGE = Package(type="deb", name="libssl3", version="3.0.11-1", arch="amd64", source="openssl")
STEP = Step(
    action="upgrade",
    name="libssl3",
    arch="amd64",
    was="3.0.11-1~deb12u2",
    becomes="3.0.17-1~deb12u3",
    why="security",
    fixes=("CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003", "CVE-2024-0004"),
)


def described(**changed: object) -> DescribeAnswer:
    fields = {
        "image": "golden.ova",
        "form": "ova",
        "system": "golden",
        "platform": DEBIAN,
        "packages": (PACKAGE,),
        "applications": (),
        "sources": (
            Source(type="apt", uri="http://mirror.example/debian", suite="bookworm"),
            Source(type="apt", uri="http://x", suite="y", enabled=False, trusted=True),
        ),
        "unknowns": (),
        "descriptor": DescriptorState(state="absent", why="the envelope has none"),
        "disks": (DiskAnswer("golden.vmdk", "vmdk-stream", 2_147_483_648, 280_000_000),),
        "read_bytes": 2_400_000,
        **changed,
    }
    return DescribeAnswer(**fields)  # type: ignore[arg-type]


def planned(**changed: object) -> PlanAnswer:
    fields = {
        "id": DIGEST,
        "base": DIGEST,
        "basis": "disk",
        "mode": "upgrade",
        "image": "golden.ova",
        **changed,
    }
    return PlanAnswer(**fields)  # type: ignore[arg-type]


def safe_and_narrow(text: str, width: int = 100) -> None:
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) <= width


def test_describe_tells_the_summary_and_the_packages() -> None:
    text = describe_text(described(), 100)
    safe_and_narrow(text)
    assert "Debian GNU/Linux 12 (bookworm), release 12.5, amd64" in text
    assert "Packages      1 deb" in text
    assert "Applications  none" in text
    assert "libssl3  3.0.11-1  amd64  openssl" in text
    assert "golden.vmdk, vmdk-stream, 2.15 GB, stored in 280 MB" in text
    assert "(disabled) (unsigned, will not be believed)" in text
    assert "UNKNOWN" not in text


def test_the_unknown_is_loud_and_comes_last() -> None:
    text = describe_text(described(unknowns=(UNKNOWN,)), 100)
    safe_and_narrow(text)
    last = text.split("\n\n")[-1]
    assert last.startswith("!!! UNKNOWN: 1 thing could not be read")
    assert "LVM is not read" in last


def test_an_image_without_a_known_platform_says_so() -> None:
    assert "Platform      unknown" in describe_text(described(platform=Platform()), 100)


def test_hostile_names_do_not_steer_the_terminal() -> None:
    package = Package(type="deb", name=HOSTILE, version=HOSTILE, arch=HOSTILE, source=HOSTILE)
    platform = Platform(name=HOSTILE, version=HOSTILE, arch=HOSTILE, kernels=(HOSTILE,))
    safe_and_narrow(
        describe_text(
            described(
                image=HOSTILE,
                system=HOSTILE,
                platform=platform,
                packages=(package,),
                descriptor=DescriptorState(state="stale", why=HOSTILE),
                disks=(DiskAnswer(HOSTILE, HOSTILE, 1, 1),),
                output=Output(HOSTILE, "", 1),
            ),
            100,
        )
    )
    step = Step(action="install", name=HOSTILE, arch=HOSTILE, why=HOSTILE, fixes=(HOSTILE,))
    skipped = Skipped(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    safe_and_narrow(plan_text(planned(image=HOSTILE, steps=(step,), skipped=(skipped,)), 100, NOW))
    difference = Difference(HOSTILE, HOSTILE, HOSTILE)
    change = Change("install", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))
    safe_and_narrow(
        diff_text(DiffAnswer(HOSTILE, HOSTILE, (difference,), (change,), unknowns=(UNKNOWN,)), 100)
    )
    safe_and_narrow(
        verify_text(
            VerifyAnswer(
                HOSTILE,
                ManifestAnswer("broken", HOSTILE),
                (SystemState(HOSTILE, "stale", HOSTILE), SystemState("b", "absent", "")),
                (difference,),
            ),
            100,
        )
    )


def test_a_plan_says_what_and_why() -> None:
    skipped = Skipped(name="linux-image-cloud-amd64", why="boot chain", available="6.1.158")
    text = plan_text(planned(steps=(STEP,), skipped=(skipped,), download_bytes=2_000_000), 120, NOW)
    safe_and_narrow(text, 120)
    assert text.startswith("golden.ova: 1 change to make, 1 change is left out")
    assert "CVE-2024-0001" in text
    assert "+3" in text
    assert "boot chain" in text
    assert "2 MB" in text


def test_a_plan_says_how_old_its_repositories_are_and_who_vouches_for_them() -> None:
    feeds = (
        FeedState("http://a.example", "stable", DIGEST, "2026-05-21T12:00:00Z", signed_by=("AB",)),
        FeedState("http://b.example", "", DIGEST, "2026-06-01T11:00:00Z", signed_by=("AB",)),
        FeedState("http://c.example", "c", DIGEST, ""),
    )
    text = " ".join(plan_text(planned(feeds=feeds), 200, NOW).split())
    assert "http://a.example stable, 2026-05-21T12:00:00Z, 11 days old http" in text
    assert "http://b.example, 2026-06-01T11:00:00Z, less than a day old http" in text
    assert "http://c.example c, of no date, signed by nobody" in text


def test_a_plan_says_what_counts_otherwise_afterwards() -> None:
    marks = (Mark("libold", "amd64", True), Mark("one", "amd64", False), Mark("two", "all", False))
    text = plan_text(planned(steps=(STEP,), marks=marks), 100, NOW)
    assert "Wished for      one, two: from then on" in text
    assert "Automatic       libold: goes once nobody needs it" in text
    assert "Wished for" not in plan_text(planned(steps=(STEP,)), 100, NOW)


def test_a_plan_with_nothing_to_do_says_so() -> None:
    assert plan_text(planned(), 100, NOW).startswith("golden.ova: up to date")
    held = plan_text(planned(skipped=(Skipped("a", "held"), Skipped("b", "held"))), 100, NOW)
    assert held.startswith("golden.ova: nothing to do, but 2 changes are left out")
    assert "its descriptor alone" in plan_text(planned(basis="descriptor"), 100, NOW)


def test_an_update_tells_where_the_result_is() -> None:
    answer = UpdateAnswer(
        plan_id=DIGEST,
        upgraded=(STEP,),
        receipt=Receipt(DIGEST, DIGEST, DIGEST, "record", ("dpkg --audit is empty",)),
        output=Output("golden-2.ova", "ab" * 32, 281_000_000),
    )
    text = update_text(answer, 100)
    safe_and_narrow(text)
    assert text.startswith("1 package was changed")
    assert "golden-2.ova, 281 MB" in text
    assert "dpkg --audit is empty" in text
    nothing = UpdateAnswer(plan_id=DIGEST, upgraded=())
    assert update_text(nothing, 100).startswith("Nothing to do; nothing was written")


def test_verify_tells_each_promise() -> None:
    answer = VerifyAnswer(
        "golden.ova",
        ManifestAnswer("whole", "2 files match", 2),
        (SystemState("golden", "verified", "the disk's bytes match", DIGEST),),
    )
    text = verify_text(answer, 100)
    assert "Manifest      whole: 2 files match" in text
    assert "Descriptor    verified: the disk's bytes match" in text


def test_diff_lists_package_by_package() -> None:
    change = Change("upgrade", "deb", "libssl3", "amd64", "3.0.11", "3.0.17", STEP.fixes)
    answer = DiffAnswer("a.ova", "b.ova", (Difference("release", "12.4", "12.5"),), (change,))
    text = diff_text(answer, 100)
    safe_and_narrow(text)
    assert text.startswith("a.ova -> b.ova: 1 upgrade\n")
    assert "release  12.4    12.5" in text
    assert diff_text(DiffAnswer("a", "b"), 100) == "a -> b: the same packages"
