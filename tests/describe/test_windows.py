"""What the registry of Windows says; hives in the true format are made by hivexregedit."""

import lzma
import random
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.describe import hive_apart as apart
from regild.describe.hives import Wanted, read_hive
from regild.describe.planned import require_planning
from regild.describe.reader import describe_guest
from regild.describe.windows import SOFTWARE, SYSTEM
from regild.errors import Malformed, NoPackageDatabase
from regild.model.content import Application, Unknown
from tests.describe.guests import MemoryTree, guest
from tests.describe.hives import MACHINE, PACKAGES, SERVER_2022, VERSION, empty, hive


def described(tmp_path, software=SERVER_2022, machine=MACHINE):
    files = {
        SOFTWARE: hive(tmp_path / "SOFTWARE", software),
        SYSTEM: hive(tmp_path / "SYSTEM", machine),
    }
    return describe_guest(guest(MemoryTree(files)))


def test_product_edition_build_and_update_revision_are_read(tmp_path):
    platform = described(tmp_path).platform
    assert (platform.family, platform.id) == ("windows", "windows-server")
    assert platform.version == "10.0.20348.2849"
    assert (platform.build, platform.ubr) == ("20348", 2849)
    assert (platform.edition, platform.codename) == ("ServerStandard", "21H2")
    assert (platform.name, platform.arch) == ("Windows Server 2022 Standard", "amd64")


def test_updates_are_the_packages_of_servicing_by_number_and_state(tmp_path):
    found = described(tmp_path).packages
    assert [(one.name, one.source, one.version, one.state) for one in found] == [
        ("KB5044281", "Package_for_RollupFix", "20348.2700.1.5", "superseded"),
        ("KB5046547", "Package_for_KB5046547", "10.0.9290.1", "install-pending"),
        ("KB5046616", "Package_for_RollupFix", "20348.2849.1.13", "installed"),
        *[("Package_for_ServicingStack_2849",) * 2 + ("20348.2849.1.0", "installed")],
    ]
    assert {one.type for one in found} == {"windows"}
    assert {one.arch for one in found} == {"amd64"}


def test_programs_of_both_views_are_applications(tmp_path):
    view = "Microsoft\\Windows\\CurrentVersion\\Uninstall\\"
    wow = "WOW6432Node\\" + view + "{F0C3E5D1-1ADE-321E-8167-68EF0DE699A5}"
    name = "Microsoft Visual C++ 2010 x86 Redistributable"
    assert described(tmp_path).applications == (
        Application("7-Zip 24.08 (x64)", "24.08", f"{SOFTWARE}, {view}7-Zip", "uninstaller"),
        Application(name, "10.0.40219", f"{SOFTWARE}, {wow}", "uninstaller"),
    )


def test_the_update_server_of_a_policy_is_a_source_without_its_password(tmp_path):
    server, service = described(tmp_path).sources
    assert (server.type, server.uri, server.suite) == (
        "wsus",
        "http://wsus.example:8530",
        "Servers",
    )
    assert server.enabled and not service.enabled
    assert server.options == ("AUOptions=3", "credentials=removed")
    assert service.type == "windows-update"


def test_without_a_policy_updates_come_from_the_service_itself(tmp_path):
    software = {key: values for key, values in SERVER_2022.items() if "Policies" not in key}
    (service,) = described(tmp_path, software).sources
    assert (service.type, service.enabled, service.options) == ("windows-update", True, ())


def test_planning_refuses_and_says_that_updates_are_only_listed(tmp_path):
    content = described(tmp_path)
    assert content.unknowns == ()
    with pytest.raises(NoPackageDatabase, match="windows, which are only listed"):
        require_planning(content)


def test_a_client_from_build_22000_on_is_windows_11(tmp_path):
    values = {
        "ProductName": "Windows 10 Pro",
        "InstallationType": "Client",
        "CurrentBuild": "22631",
        "CurrentMajorVersionNumber": 10,
        "CurrentMinorVersionNumber": 0,
        "UBR": 4460,
    }
    platform = described(tmp_path, {**SERVER_2022, VERSION: values}).platform
    assert (platform.id, platform.name) == ("windows", "Windows 11 Pro")
    assert platform.version == "10.0.22631.4460"


def test_what_is_older_than_the_revision_has_it_in_its_label(tmp_path):
    values = {
        "ProductName": "Windows 7 Professional",
        "CurrentVersion": "6.1",
        "CurrentBuild": "7601",
        "BuildLabEx": "7601.24545.amd64fre.win7sp1_ldr_escrow.200102-1707",
    }
    platform = described(tmp_path, {**SERVER_2022, VERSION: values}).platform
    assert (platform.version, platform.ubr) == ("6.1.7601.24545", 24545)


def test_an_update_that_waits_for_a_restart_is_said(tmp_path):
    waiting = {r"Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending": {}}
    (unknown,) = described(tmp_path, {**SERVER_2022, **waiting}).unknowns
    assert "waits for a restart" in unknown.why


def test_a_registry_without_build_or_updates_is_unknown(tmp_path):
    content = described(tmp_path, {r"Microsoft\Windows": {"a": 1}})
    whys = [one.why for one in content.unknowns]
    assert "it does not say which build of Windows this is" in whys
    assert "the list of updates is not there" in whys


def test_a_windows_without_its_machine_part_is_unknown(tmp_path):
    files = {SOFTWARE: hive(tmp_path / "SOFTWARE", SERVER_2022)}
    content = describe_guest(guest(MemoryTree(files)))
    assert content.unknowns == (Unknown(SYSTEM, "the registry's part of the machine is not there"),)


def test_a_hive_whose_changes_wait_in_a_log_is_said(tmp_path):
    content = bytearray(hive(tmp_path / "SOFTWARE", SERVER_2022))
    struct.pack_into("<I", content, 4, struct.unpack_from("<I", content, 8)[0] + 1)
    resealed(content)
    found = read_hive(bytes(content), [Wanted(VERSION)], "x")
    assert found.key(VERSION).text("CurrentBuild") == "20348"
    assert found.damage == ("it was not written out; its log holds changes that were not read",)


def resealed(content):
    check = 0
    for (word,) in struct.iter_unpack("<I", content[:508]):
        check ^= word
    struct.pack_into("<I", content, 508, check)


@pytest.mark.parametrize("content", [b"", b"regf", bytes(8192), random.Random(1).randbytes(70_000)])
def test_what_is_no_hive_is_unknown_and_never_an_empty_list(content):
    found = describe_guest(guest(MemoryTree({SOFTWARE: content})))
    assert [one.where for one in found.unknowns if one.where == SOFTWARE]


def test_a_hive_cut_off_anywhere_is_malformed_or_said_to_be_damaged(tmp_path):
    content = hive(tmp_path / "SOFTWARE", SERVER_2022)
    for cut in random.Random(4).sample(range(len(content) - 1), 12):
        try:
            found = read_hive(content[:cut], [Wanted(VERSION), Wanted(PACKAGES, "")], "x")
        except Malformed:
            continue
        whole = len(found.key(PACKAGES).subkeys) == 6 and found.key(VERSION).text("EditionID")
        assert found.damage or whole


def test_counts_and_sizes_that_lie_cost_little_and_are_said(tmp_path):
    """Every number of four bytes of the keys that are read, one after the other, made enormous."""
    content = hive(tmp_path / "SOFTWARE", SERVER_2022)
    wanted = [{"path": VERSION}, {"path": PACKAGES, "subkeys": ""}]
    place = tmp_path / "hive"
    for at in range(4096 + 32, len(content) - 4, 36):
        changed = bytearray(content)
        struct.pack_into("<I", changed, at, 0x7FFFFFF0)
        place.write_bytes(changed)
        answers(place, wanted)


def answers(place, wanted):
    try:
        return apart._read(str(place), wanted)
    except MemoryError:
        raise
    except Exception as error:  # what the process of its own turns into its answer
        return {"error": str(error)}


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(4096, 8191), st.integers(0, 255)), max_size=12))
def test_any_damage_is_an_answer(changes):
    with tempfile.TemporaryDirectory() as folder:
        content = bytearray(empty(Path(folder) / "hive").read_bytes())
        for at, byte in changes:
            content[at] = byte
        (Path(folder) / "hive").write_bytes(content)
        assert isinstance(answers(Path(folder) / "hive", [{"path": "a\\b", "subkeys": ""}]), dict)


def test_the_real_hive_of_a_windows_10_says_its_architecture(tmp_path, shared):
    place = shared / "corpus/windows/SYSTEM_WIN_10_1709.xz"
    files = {
        SOFTWARE: hive(tmp_path / "SOFTWARE", SERVER_2022),
        SYSTEM: lzma.decompress(place.read_bytes()),
    }
    content = describe_guest(guest(MemoryTree(files)))
    assert content.platform.arch == "amd64"
    # It was copied from a running machine.
    assert [(one.where, one.why[:26]) for one in content.unknowns] == [
        (SYSTEM, "it was not written out; it")
    ]
