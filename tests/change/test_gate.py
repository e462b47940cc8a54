"""The gate: what accounts for a path, what fits, what came apart."""

from __future__ import annotations

import pytest

from regild.change.gate import (
    check_fixed,
    check_kept,
    check_links,
    check_places,
    check_room,
    explain_entry,
    explain_record,
)
from regild.change.owners import Owners
from regild.change.tree import Part
from regild.errors import GuestFull, RecordRefused
from regild.model.digest import Digest
from regild.model.plan import Errand
from regild.model.record import Entry, Inode, Record

GONE = Inode("absent")
ROOT = Part("/", 0, 1 << 30, "ext4", free_blocks=2000, free_inodes=100)
OWNERS = Owners(
    {"/usr/bin/tool": "tool:amd64", "/usr/bin/other": "other"},
    {"/srv/tool/state": "tool", "/etc/default/tool": "tool", "/etc/pam.d/tool": "tool"},
    ["tool"],
)


def changed(path: str, was: Inode = GONE, **fields: object) -> Entry:
    return Entry(path, was, Inode("file", mode=0o644, **fields))  # type: ignore[arg-type]  # fields of Inode


def record(*entries: Entry) -> Record:
    return Record(entries, 0)


def test_a_planned_packages_own_path_is_accounted_for() -> None:
    assert explain_entry(changed("/usr/bin/tool"), OWNERS).by == "package tool:amd64"


def test_a_path_of_a_package_that_the_plan_does_not_change_is_not() -> None:
    assert explain_entry(changed("/usr/bin/other"), OWNERS).by == ""


@pytest.mark.parametrize(
    ("path", "by"),
    [
        ("/var/lib/dpkg/status", "dpkg state"),
        ("/etc/ssl/certs/abcd1234.0", "trigger ca-certificates"),
        ("/usr/lib/python3.11/__pycache__/a.cpython-311.pyc", "python bytecode"),
        ("/etc/nginx/nginx.conf.dpkg-dist", "dpkg state"),
        ("/srv/tool/state/deep/file", "script of tool"),
        ("/etc/default/tool", "script of tool"),
        ("/etc/default/another", ""),
        ("/etc/pam.d/tool", ""),
        ("/var/backups/tool-1/data", "backup"),
        ("/etc/.gitignore", "etckeeper"),
        ("/etc/default/keyboard", "console setup"),
        ("/usr/share/emacs/site-lisp/tool/tool.elc", "emacs or dictionaries"),
        ("/etc/mailcap", "trigger mime"),
        ("/usr/lib/x86_64-linux-gnu/gtk-3.0/3.0.0/immodules.cache", "trigger gtk"),
        ("/usr/share/fonts/X11/misc/fonts.dir", "x fonts"),
        ("/usr/share/fonts/X11/Type1/encodings.dir", "x fonts"),
        ("/usr/share/fonts/X11/misc/font.pcf", ""),
        ("/etc/X11/fluxbox/menudefs.hook", "documents or menus"),
        ("/etc/X11/fluxbox/init", ""),
        ("/var/lib/texmf/ls-R-TEXLIVE", "tex"),
        ("/etc/apache2/mods-enabled/php8.2.load", "modules of servers"),
        ("/etc/apache2/apache2.conf", ""),
        ("/var/lib/doc-base/documents/tool", "documents or menus"),
        ("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/classes.jsa", "java archive"),
        ("/var/cache/tool/state", "cache"),
        ("/var/cache/apt/archives/other.deb", ""),
        ("/etc/apache2/sites-available/other.conf", ""),
    ],
)
def test_a_trigger_or_script_accounts_for_its_own_places(path: str, by: str) -> None:
    assert explain_entry(changed(path), OWNERS).by == by


@pytest.mark.parametrize(
    "path", ["/usr/bin/backdoor", "/etc/cron.d/job", "/root/.ssh/authorized_keys"]
)
def test_what_nothing_accounts_for_is_refused_by_name(path: str) -> None:
    with pytest.raises(RecordRefused, match=path):
        explain_record(record(changed(path)), OWNERS)


def test_a_folder_that_only_shows_a_new_time_needs_no_owner() -> None:
    was = Inode("directory", mode=0o755, mtime_ns=1)
    entry = Entry("/opt", was, Inode("directory", mode=0o755, mtime_ns=2))
    assert explain_entry(entry, OWNERS).by == "folder of changed files"


def test_a_folder_that_changed_hands_does() -> None:
    was = Inode("directory", mode=0o755)
    entry = Entry("/opt/x", was, Inode("directory", mode=0o777))
    assert explain_entry(entry, OWNERS).by == ""


def test_what_does_not_fit_the_guest_is_refused_before_writing() -> None:
    with pytest.raises(GuestFull, match="MiB more are needed"):
        check_room(record(changed("/usr/bin/tool", bytes=9_000_000)), (ROOT,))


def test_room_that_is_given_back_counts() -> None:
    was = Inode("file", bytes=9_000_000)
    check_room(record(changed("/usr/bin/tool", was, bytes=9_000_000)), (ROOT,))


def test_roots_reserve_is_not_room() -> None:
    part = Part("/", 0, 1 << 30, "ext4", free_blocks=2000, reserved_blocks=1900, free_inodes=100)
    with pytest.raises(GuestFull):
        check_room(record(changed("/usr/bin/tool", bytes=400_000)), (part,))


def test_too_many_new_files_for_the_inodes_are_refused() -> None:
    entries = [changed(f"/usr/bin/{number}") for number in range(100)]
    with pytest.raises(GuestFull, match="inodes"):
        check_room(record(*entries), (ROOT,))


def test_a_hard_link_that_a_script_split_is_refused() -> None:
    was = Inode("file", links=2, group=77)
    with pytest.raises(RecordRefused, match="came apart"):
        check_links(record(changed("/srv/tool/state/a", was)), OWNERS)


def test_a_hard_link_that_the_package_itself_replaced_is_not() -> None:
    was = Inode("file", links=2, group=77)
    check_links(record(changed("/usr/bin/tool", was)), OWNERS)


def test_a_hard_link_of_which_all_names_changed_is_not() -> None:
    was = Inode("file", links=2, group=77)
    check_links(record(changed("/srv/a", was), changed("/srv/b", was)), OWNERS)


def test_a_change_on_a_filesystem_that_is_only_read_is_refused() -> None:
    efi = Part("/boot/efi", 0, 1 << 20, "vfat")
    with pytest.raises(RecordRefused, match="vfat"):
        check_places(record(changed("/boot/efi/EFI/x")), (ROOT, efi))


ACME = Errand("acme", changes=("/opt/acme",), recipe=Digest("sha256:"))
NOBODY = Owners({}, {}, [])


def test_a_recipe_accounts_for_its_own_folders() -> None:
    for path in ("/opt/acme", "/opt/acme/bin/agent"):
        assert explain_entry(changed(path), OWNERS, (ACME,)).by == "recipe acme"
    for path in ("/opt/acmes", "/opt", "/usr/bin/agent"):
        assert explain_entry(changed(path), OWNERS, (ACME,)).by == ""


def test_where_a_recipe_runs_alone_no_packages_trigger_accounts_for_anything() -> None:
    path = "/etc/systemd/system/acme.service"
    assert explain_entry(changed(path), OWNERS, (ACME,)).by == "systemd units"
    assert explain_entry(changed(path), NOBODY, (ACME,)).by == ""
    with pytest.raises(RecordRefused, match=path):
        explain_record(record(changed(path)), NOBODY, (ACME,))


def test_a_command_that_may_go_anywhere_accounts_for_what_it_did() -> None:
    free = Errand("run", commands=(("true",),))
    assert explain_entry(changed("/srv/a"), NOBODY, (free,)).by == "command of run"
    assert explain_entry(changed("/opt/acme/a"), NOBODY, (ACME, free)).by == "recipe acme"


def test_what_the_image_keeps_for_itself_is_refused_and_named() -> None:
    check_kept(record())
    with pytest.raises(RecordRefused, match="/etc/hosts"):
        check_kept(Record((), 0, ("/etc/hosts",)))


def test_a_hard_link_from_one_volume_to_another_is_refused() -> None:
    linked = changed("/var/twin", GONE)
    linked = Entry(linked.path, GONE, linked.becomes, link_to="/usr/one")
    with pytest.raises(RecordRefused, match="which lies on another filesystem"):
        check_places(record(linked), (ROOT, Part("/var", 1 << 30, 1 << 30, "xfs")))
    check_places(record(linked), (ROOT,))


@pytest.mark.parametrize("path", ["/srv/held", "/srv/folder/new"])
def test_what_the_guest_made_immutable_is_refused(path: str) -> None:
    with pytest.raises(RecordRefused, match="is immutable in the guest"):
        check_fixed(record(changed(path)), {"/srv/held", "/srv/folder"})
    check_fixed(record(changed("/srv/other")), {"/srv/held", "/srv/folder"})
