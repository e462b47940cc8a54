"""Software that dpkg does not own, and the kernels."""

from __future__ import annotations

from regild.describe.reader import describe_guest
from regild.model.content import Application
from tests.describe.guests import debian

SITE = "/usr/local/lib/python3.11/dist-packages"


def test_python_distributions_under_usr_local_are_packages() -> None:
    files: dict[str, bytes | str] = {
        f"{SITE}/Flask_Login-0.6.3.dist-info/METADATA": "x",
        f"{SITE}/flask_login/__init__.py": "",
        f"{SITE}/not a-dist.dist-info/METADATA": "x",
        "/opt/app/lib/python3.11/site-packages/requests-2.31.0.dist-info/METADATA": "x",
    }
    content = describe_guest(debian(files))
    found = [one for one in content.packages if one.type == "pypi"]
    assert [(one.name, one.version, one.purl) for one in found] == [
        ("flask-login", "0.6.3", "pkg:pypi/flask-login@0.6.3"),
        ("requests", "2.31.0", "pkg:pypi/requests@2.31.0"),
    ]
    assert found[0].where == f"{SITE}/Flask_Login-0.6.3.dist-info"


def test_a_folder_of_opt_says_its_version_in_a_file_or_in_its_name() -> None:
    files = {
        "/opt/billing/VERSION": "v2.4.1 (built today)\n",
        "/opt/tomcat-9.0.80/bin/catalina.sh": "",
        "/opt/own/run": "",
        "/opt/prose/VERSION": "the newest\n",
        "/opt/file": "",
    }
    assert describe_guest(debian(files)).applications == (
        Application("billing", "2.4.1", "/opt/billing/VERSION"),
        Application("own", "", "/opt/own"),
        Application("prose", "", "/opt/prose"),
        Application("tomcat", "9.0.80", "/opt/tomcat-9.0.80"),
    )


def test_what_a_package_owns_is_not_an_application() -> None:
    files = {
        "/opt/vendor/lib/python3.11/site-packages/six-1.16.0.dist-info/METADATA": "",
        "/opt/other/run": "",
        "/var/lib/dpkg/info/vendor-tool.list": "/.\n/opt\n/opt/vendor\n/opt/vendor/lib\n",
    }
    content = describe_guest(debian(files))
    assert [one.name for one in content.applications] == ["other"]
    assert [one.type for one in content.packages] == ["deb", "deb"]


def test_a_version_file_over_the_limit_is_unknown() -> None:
    content = describe_guest(debian({"/opt/app/VERSION": "1" * 5000}))
    assert content.unknowns[0].where == "/opt/app (/opt/app/VERSION)"


def test_dpkgs_file_lists_are_not_read_for_an_empty_opt() -> None:
    guest = debian({"/var/lib/dpkg/info/dpkg.list": "/.\n"})
    describe_guest(guest)
    assert "/var/lib/dpkg/info/dpkg.list" not in guest.tree.reads  # type: ignore[attr-defined]


def test_kernels_are_those_under_boot_in_the_order_of_their_versions() -> None:
    files = {
        "/boot/vmlinuz-6.1.0-9-amd64": "",
        "/boot/vmlinuz-6.1.0-18-cloud-amd64": "",
        "/boot/initrd.img-6.1.0-20-amd64": "",
        "/boot/vmlinuz.old": "",
        "/lib/modules/6.1.0-30-amd64/vmlinuz": "",
    }
    kernels = describe_guest(debian(files)).platform.kernels
    assert kernels == ("6.1.0-9-amd64", "6.1.0-18-cloud-amd64")


def test_kernels_beside_their_modules_count_where_boot_has_none() -> None:
    files = {
        "/lib/modules/6.1.0-30-amd64/vmlinuz": "",
        "/lib/modules/6.1.0-31-amd64/modules.dep": "",
    }
    assert describe_guest(debian(files)).platform.kernels == ("6.1.0-30-amd64",)


def test_a_folder_whose_name_is_no_text_is_unknown() -> None:
    content = describe_guest(debian({"/opt/\x1b[2J/run": ""}))
    assert [one.where for one in content.unknowns] == ["/opt"]
    assert content.applications == ()
