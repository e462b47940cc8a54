"""dnf itself, asked what it would do: run by the system's Python, which has its library.

python3 dnf_asked.py ROOT MODE        prints JSON: what comes in, what goes, or the error
"""

import json
import sys
import tempfile

import dnf


def main(root: str, mode: str) -> dict[str, object]:
    with dnf.Base() as base, tempfile.TemporaryDirectory() as cache:
        base.conf.read(f"{root}/etc/dnf/dnf.conf")
        base.conf.installroot = root
        base.conf.cachedir = cache
        base.conf.reposdir = [f"{root}/etc/yum.repos.d"]
        base.conf.varsdir = []
        base.conf.plugins = False
        if hasattr(base.conf, "optional_metadata_types"):
            # Newer ones leave the lists of all files away unless they are asked for.
            base.conf.optional_metadata_types = ["filelists"]
        base.conf.substitutions["releasever"] = "39"
        base.conf.substitutions["arch"] = base.conf.substitutions["basearch"] = "x86_64"
        protected = [f"glob:{root}/etc/dnf/protected.d/*.conf"]
        base.conf.protected_packages = protected
        base.read_all_repos()
        for repo in base.repos.iter_enabled():
            repo.repo_gpgcheck = False  # who signed it is for us to know
        base.fill_sack()
        if mode == "security":
            base.add_security_filters("gte", types=["security"])
        base.upgrade_all()
        try:
            base.resolve(allow_erasing=mode == "full")
        except dnf.exceptions.Error as error:
            return {"error": str(error)}
        transaction = base.transaction
        return {
            "in": sorted(map(str, transaction.install_set)),
            "out": sorted(map(str, transaction.remove_set)),
        }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
