"""The marks that apt itself writes for a change, in a world that the oracle was asked about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from regild.host.run import run

STUB = "#!/bin/sh\n# In place of dpkg: apt writes its marks before it runs this.\nexit 0\n"


def written_marks(folder: Path, verb: Sequence[str]) -> set[str]:
    """What counts as installed for others once apt-get has made a change; `folder` is the
    oracle's, whose marks are written over."""
    (folder / "dpkg").write_text(STUB)
    (folder / "dpkg").chmod(0o755)
    (folder / "log").mkdir(exist_ok=True)
    own = (
        f"Dir::Bin::dpkg={folder}/dpkg", f"Dir::Log={folder}/log", "Debug::NoLocking=1",
        "DPkg::Use-Pty=0", "quiet::NoStatistic=1", f"Dir::Cache={folder}/cache",
    )  # fmt: skip
    options = [word for one in own for word in ("-o", one)]
    env = {"APT_CONFIG": str(folder / "conf"), "SOURCE_DATE_EPOCH": "1"}
    # It complains in the end that dpkg did less than it was asked for.
    run(["apt-get", "-y", *options, *verb], purpose="as the oracle", env=env, check=False)
    return read_marks((folder / "extended_states").read_text())


def read_marks(text: str) -> set[str]:
    """`name:arch` of what an extended_states file calls automatic."""
    pattern = r"^Package: (\S+)\nArchitecture: (\S+)\nAuto-Installed: 1$"
    return {f"{name}:{arch}" for name, arch in re.findall(pattern, text, re.M)}
