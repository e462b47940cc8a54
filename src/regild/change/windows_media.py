"""The medium that a booted Windows installs from: files, what they are, and the run's own script.

An ISO 9660 with short names, so that neither a name nor its length can be misread: `01.MSU`, ...,
the script, what starts it, and the manifest, which says what each file was called. The script
checks every digest itself; it needs PowerShell 2 (Windows Server 2008 R2) or later.
Source: ECMA-119; xorrisofs(1); Microsoft Learn: wusa.exe, DISM operating system package servicing,
msiexec, Start-Process, System.IO.Ports.SerialPort. Never tried on a real Windows: docs/adr/0088.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from regild.change.windows_hook import BEFORE_LOGON, COMMAND, KEY, LINE, OURS, STARTER, TYPE
from regild.change.windows_report import DONE, NEEDS_RESTART, RESTARTS_MAX
from regild.errors import MediaRefused
from regild.host.files import digest_file, translated
from regild.host.run import run
from regild.model.content import Value
from regild.model.digest import Digest, hex_of
from regild.model.json import to_json

FILES_MAX: Final = 99
FILE_BYTES_MAX: Final = (4 << 30) - 2048
"""What one piece of a file may hold in ISO 9660."""
SCRIPT, MANIFEST, LABEL = "RUN.PS1", "MANIFEST.JSN", "REGILD"
QUIET: Final = "/quiet /norestart"
Kind = Literal["msu", "cab", "msi", "exe", "ps1"]

COMMANDS: Final[dict[Kind, tuple[str, str]]] = {
    "msu": ("wusa.exe", f'"{{file}}" {QUIET}'),
    "cab": ("dism.exe", f'/Online /Add-Package /PackagePath:"{{file}}" {QUIET.title()}'),
    "msi": ("msiexec.exe", f'/i "{{file}}" {QUIET}'),
    "exe": ("{file}", QUIET),
    "ps1": (
        "powershell.exe",
        '-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{file}"',
    ),
}
"""How each kind of file is installed: a program and its words; all end with the same codes."""


class MediaFile(Value, frozen=True):
    """A file that is to be installed, in the order in which they were given."""

    name: str
    kind: Kind
    digest: Digest
    bytes: int

    @property
    def command(self) -> tuple[str, str]:
        """The program and its words, with the file's own name."""
        program, words = COMMANDS[self.kind]
        return program.format(file=self.name), words.format(file=self.name)


class Manifest(Value, frozen=True):
    """What stands on the medium for whoever looks at it."""

    files: tuple[tuple[str, MediaFile], ...]
    """Each by its name on the medium."""


@dataclass(frozen=True, slots=True)
class Media:
    """Files to install, and where they lie on this machine."""

    files: tuple[MediaFile, ...]
    paths: tuple[Path, ...]


def read_media(given: Sequence[Path]) -> Media:
    """What was given as files and folders, hashed; a folder's files in the order of their names.

    Raises: MediaRefused; MissingFile, NotPermitted.
    """
    paths = tuple(one for path in given for one in _files_of(path))
    if not 0 < len(paths) <= FILES_MAX:
        where = ", ".join(str(path) for path in given)
        raise MediaRefused(
            where=where, why=f"it is {len(paths)} files, and 1 to {FILES_MAX} can be"
        )
    return Media(tuple(_read(path) for path in paths), paths)


def place_of(number: int, file: MediaFile) -> str:
    """A file's name on the medium."""
    return f"{number:02}.{file.kind.upper()}"


def write_media(media: Media, command: str, folder: Path) -> Path:
    """Make the medium in an empty folder; `command` is what the registry has to say afterwards.

    Raises: ToolMissing, CommandFailed, DiskFull.
    """
    tree, iso = folder / "media", folder / "media.iso"
    tree.mkdir()
    numbered = list(enumerate(media.files, 1))
    for (number, file), path in zip(numbered, media.paths, strict=True):
        (tree / place_of(number, file)).symlink_to(path.resolve())
    rows = tuple((place_of(number, file), file) for number, file in numbered)
    (tree / MANIFEST).write_text(to_json(Manifest(rows)))
    (tree / SCRIPT).write_bytes(write_script(media.files, command).encode("utf-8-sig"))
    (tree / STARTER).write_bytes(_STARTER.encode())
    line = ["xorriso", "-as", "mkisofs", "-quiet", "-f", "-iso-level", "1", "-V", LABEL]
    run([*line, "-o", iso, tree], purpose="to make a medium for a booted Windows")
    return iso


def write_script(files: Iterable[MediaFile], command: str) -> str:
    """The run as a script of PowerShell; `command` is what `CmdLine` held before."""
    steps = "\n".join(_steps(files))
    return _SCRIPT.format(
        steps=steps,
        key=KEY,
        type=TYPE,
        line_name=COMMAND,
        next=f"{OURS}Next",
        restarts=f"{OURS}Restarts",
        command=_quoted(command),
        hook=_quoted(LINE),
        before=BEFORE_LOGON,
        most=RESTARTS_MAX,
        good=", ".join(str(one) for one in DONE),
        again=", ".join(str(one) for one in NEEDS_RESTART),
    ).replace("\n", "\r\n")


def _steps(files: Iterable[MediaFile]) -> Iterator[str]:
    for number, file in enumerate(files, 1):
        program, words = COMMANDS[file.kind]
        place = place_of(number, file)
        yield (
            f"    @{{ File = {_quoted(place)}; Sum = {_quoted(hex_of(file.digest))};"
            f" Program = {_quoted(program)}; Words = {_quoted(words)} }}"
        )


def _quoted(text: str) -> str:
    """A text as PowerShell takes it word for word; it has four signs that end one."""
    return (
        "'" + "".join(one * 2 if one in "'\u2018\u2019\u201a\u201b" else one for one in text) + "'"
    )


def _files_of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(
        one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")
    )


def _read(path: Path) -> MediaFile:
    kind = path.suffix.lower().removeprefix(".")
    known = next((one for one in COMMANDS if one == kind), None)
    if known is None:
        raise MediaRefused(where=str(path), why=f"nothing is known of files of the kind {kind!r}")
    with translated(path):
        size = path.stat().st_size
    if not 0 < size <= FILE_BYTES_MAX:
        raise MediaRefused(where=str(path), why=f"it holds {size} bytes, and no medium takes it")
    return MediaFile(path.name, known, digest_file(path), size)


_STARTER: Final = (
    "@echo off\r\n"
    f'powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "%~dp0{SCRIPT}"\r\n'
    "shutdown.exe /s /f /t 0\r\n"
)
"""Whatever became of the script, the machine goes off behind it."""

_SCRIPT: Final = """\
# Installs what lies beside it, reports over COM1, and powers off. Made for one run.
$ErrorActionPreference = 'Stop'
$media = Split-Path -Parent $MyInvocation.MyCommand.Path
$setup = 'HKLM:\\SYSTEM\\{key}'
$steps = @(
{steps}
)
$port = New-Object System.IO.Ports.SerialPort('COM1', 115200)
$port.Open()
function Say([string] $words) {{ $port.Write("`r`nregild {{" + $words + "}}`r`n") }}
function Set-Noted([string] $name, [int] $value) {{
    New-ItemProperty $setup $name -Value $value -PropertyType DWord -Force | Out-Null
}}
function Set-Start([int] $type, [string] $line) {{
    New-ItemProperty $setup '{line_name}' -Value $line -PropertyType String -Force | Out-Null
    Set-Noted '{type}' $type
}}
function Clear-Start {{
    Set-Start 0 {command}
    Remove-ItemProperty $setup '{next}' -ErrorAction SilentlyContinue
    Remove-ItemProperty $setup '{restarts}' -ErrorAction SilentlyContinue
}}
function Get-Noted([string] $name, [int] $else) {{
    $noted = Get-ItemProperty $setup
    if ($noted.PSObject.Properties[$name]) {{ [int] $noted.$name }} else {{ $else }}
}}
function Get-Sum([string] $path) {{
    $file = [System.IO.File]::OpenRead($path)
    try {{ $sum = [System.Security.Cryptography.SHA256]::Create().ComputeHash($file) }}
    finally {{ $file.Close() }}
    [System.BitConverter]::ToString($sum).Replace('-', '').ToLower()
}}
function Stop-Machine([string] $how) {{
    $port.Close()
    & shutdown.exe $how /f /t 0
    Start-Sleep -Seconds 600
    exit
}}
try {{
    $next = Get-Noted '{next}' 1
    $restarts = Get-Noted '{restarts}' 0
    # From here on nothing starts this again, unless it asks for it.
    Clear-Start
    Say ('"say":"hello","step":' + $next)
    for ($number = $next; $number -le $steps.Count; $number++) {{
        $step = $steps[$number - 1]
        $file = Join-Path $media $step.File
        Say ('"say":"begin","step":' + $number)
        if ((Get-Sum $file) -ne $step.Sum) {{
            Say ('"say":"differs","step":' + $number)
            Stop-Machine '/s'
        }}
        $program = $step.Program.Replace('{{file}}', $file)
        $words = $step.Words.Replace('{{file}}', $file)
        $code = (Start-Process $program -ArgumentList $words -Wait -PassThru).ExitCode
        Say ('"say":"end","step":' + $number + ',"code":' + $code)
        if (@({good}) -notcontains $code) {{ Stop-Machine '/s' }}
        if (@({again}) -contains $code) {{
            if ($restarts -ge {most}) {{ throw 'it was restarted {most} times' }}
            Set-Noted '{next}' ($number + 1)
            Set-Noted '{restarts}' ($restarts + 1)
            Set-Start {before} {hook}
            Say '"say":"restart"'
            Stop-Machine '/r'
        }}
    }}
    $windows = Get-ItemProperty 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion'
    $ubr = if ($windows.PSObject.Properties['UBR']) {{ [int] $windows.UBR }} else {{ 0 }}
    Say ('"say":"done","build":"' + $windows.CurrentBuild + '","ubr":' + $ubr)
    Stop-Machine '/s'
}} catch {{
    $why = [string] $_ -replace '[^A-Za-z0-9 .,:;()_-]', ' '
    Say ('"say":"broken","why":"' + $why.Substring(0, [Math]::Min(200, $why.Length)) + '"')
    Stop-Machine '/s'
}}
"""
