"""What a new instance is told of itself: a NoCloud seed, an ISO 9660 volume named CIDATA.

cloud-init reads it at the first boot (its documentation, "NoCloud", local filesystem); other guests
can mount it by its label. It holds names only, no secret.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from regild.errors import LibraryMissing
from regild.host.files import write_whole
from regild.model.json import to_json
from regild.model.rotation import StartOrder

LABEL = "CIDATA"


def seed_files(order: StartOrder) -> dict[str, str]:
    """The seed's files by name; JSON is YAML, so names need no quoting of our own."""
    told = {"instance-id": order.name, "local-hostname": order.name}
    told |= {"regild-owner": order.owner, "regild-generation": str(order.generation)}
    return {"meta-data": to_json(told) + "\n", "user-data": "#cloud-config\n{}\n"}


def write_seed(path: Path, order: StartOrder) -> None:
    """Write an instance's seed.

    Raises: LibraryMissing, DiskFull, NotPermitted.
    """
    try:
        from pycdlib import PyCdlib
    except ImportError as error:
        why = "to tell an instance its name"
        raise LibraryMissing(where="pycdlib", why=why, extra="rotate") from error
    volume = PyCdlib()
    volume.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, text in seed_files(order).items():
        content = text.encode()
        volume.add_fp(
            BytesIO(content),
            len(content),
            f"/{name.replace('-', '_').upper()}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    written = BytesIO()
    volume.write_fp(written)
    volume.close()
    write_whole(path, written.getvalue())
