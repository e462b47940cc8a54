"""Every command's name, what it is for, and where it is written; nothing of it is loaded."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One command: `attribute` of a file under `commands/` is its function or its group."""

    name: str
    summary: str
    file: str
    attribute: str


SECTIONS: dict[str, tuple[Row, ...]] = {
    "Look at an image": (
        Row("describe", "Say what is inside, and what could not be read.", "describe", "describe"),
        Row("plan", "Say what needs updating, from the image's own repositories.", "plan", "plan"),
        Row("diff", "Say what changed from one image to another.", "diff", "diff"),
        Row("verify", "Check whether an image is what it says it is.", "verify", "verify"),
        Row("lint", "Say what consumers would trip over.", "lint", "lint"),
        Row("ls", "List a folder of the guest.", "browse", "ls"),
        Row("cat", "Print a file of the guest.", "browse", "cat"),
        Row("cp", "Copy a file or a folder out of the guest.", "browse", "cp"),
    ),
    "Change an image": (
        Row(
            "update", "Bring an image up to date, check it, and write it anew.", "update", "update"
        ),
        Row("run", "Run a command of the guest, or a recipe, in an image.", "run", "run"),
        Row("resize", "Make a disk larger, with its last filesystem.", "resize", "resize"),
        Row("convert", "Write an image in another form.", "convert", "convert"),
        Row("sign", "Write a package anew, with a signature.", "sign", "sign"),
        Row("prove", "Check whether what an image holds is whole.", "prove", "prove"),
        Row("boot-test", "Boot an image on a throw-away overlay.", "boot_test", "boot_test"),
        Row("jobs", "Updates that were ended early: list, resume, clean.", "jobs", "jobs"),
    ),
    "Keep and publish generations": (
        Row("image", "Golden images: lines of generations.", "image", "app"),
        Row("generation", "Published versions of images.", "image", "generation_app"),
        Row("publish", "Keep a file as the next generation of an image.", "publish", "publish"),
        Row("approve", "Say yes to what waits for an approval.", "agent", "approve"),
        Row("promote", "Let a channel point at a generation.", "publish", "promote"),
        Row("rollback", "Let a channel point at its last good one again.", "publish", "rollback"),
        Row("revoke", "Say that a generation must not run any more.", "publish", "revoke"),
        Row("restore", "Take a revocation back.", "publish", "restore"),
        Row("pin", "Keep a generation, or hold a channel where it is.", "publish", "pin"),
        Row("export", "Write a generation out of the store.", "publish", "export"),
        Row("push", "Put a generation where others use it.", "push", "push"),
        Row("import", "Take an image from where others keep it.", "push", "import_image"),
        Row("query", "Ask generations, channels, groups and instances.", "query", "query"),
        Row("events", "List what happened, and who did it.", "store", "events"),
        Row("store", "The store: is it whole, how large is it.", "store", "app"),
    ),
    "Run them": (
        Row("group", "Worker groups and pools: who runs an image.", "group", "app"),
        Row("instance", "Running machines, one by one.", "instance", "app"),
        Row("freeze", "Times in which nothing is rotated.", "group", "freeze_app"),
        Row("agent", "The loop that keeps every image current.", "agent", "app"),
        Row("respond", "Answer a weakness: who has it, mend all of them.", "respond", "respond"),
        Row("fleet", "Many images at once, here or on a cluster.", "fleet", "app"),
    ),
    "Set up": (
        Row("feeds", "Repositories and advisories: list, refresh, status.", "feeds", "feeds"),
        Row("cache", "What was fetched and made of it: show, clean.", "cache", "app"),
        Row("recipe", "Look at recipes for applications.", "recipe", "app"),
        Row("conformance", "Read a conformance kit, and compare.", "conformance", "conformance"),
    ),
}
"""In the order of `regild --help`, which is the order of the work."""
