"""Every way in which regild can fail, drawn as one tree.

    RegildError                        70  the root; never raised itself
    ├── Unforeseen                     70  an exception that no room expected
    ├── UsageError                      2  the command line or regild.toml asks for the impossible
    ├── NothingRead                     3  nothing in the guest could be read
    ├── InputError                      4  what we were given is wrong
    ├── UnsupportedError                5  right, but beyond us
    ├── IntegrityError                  6  it is not what it says it is
    ├── PlanError                       7  there is no way to get there
    ├── ChangeError                     8  the guest did not follow
    ├── ProveError                      9  the result is not what was promised
    ├── PublishError                   13  the result could not be put where it belongs
    ├── RotateError                    14  the running side did not follow
    └── HostError                      15  this machine cannot

Each class has typed fields, templates over them for the user's `sentence` and a `hint` of what can
be done, and `retryable`. The families stand in `given`, `work` and `machine`; everyone imports from
here. Printing and exiting happen once, in `regild.cli`.
"""

from regild.errors.given import (
    AddressRefused,
    Ambiguous,
    BadSignature,
    DigestMismatch,
    Encrypted,
    Expired,
    ExternalFile,
    InputError,
    IntegrityError,
    ListedAlready,
    Malformed,
    MissingFile,
    NewerCatalogue,
    NoPackageDatabase,
    NotAnArchive,
    NotListed,
    RolledBack,
    SignatureRefused,
    TooLarge,
    Truncated,
    UnknownKey,
    Unreachable,
    UnsafeName,
    UnsupportedError,
    UnsupportedFilesystem,
    UnsupportedFormat,
    WrongKey,
    WrongRelease,
)
from regild.errors.machine import (
    Busy,
    CommandFailed,
    DiskFull,
    HostError,
    LeaseLost,
    LibraryMissing,
    NotPermitted,
    ToolMissing,
    Unanswered,
)
from regild.errors.root import (
    NothingRead,
    RegildError,
    Unforeseen,
    UsageError,
)
from regild.errors.work import (
    AccessDenied,
    ChangeError,
    DriverFailed,
    FeedUnreachable,
    GroupRefused,
    GuestCommandFailed,
    GuestCommandHung,
    GuestFull,
    NotOffered,
    Pinned,
    PlanError,
    ProveError,
    PublishError,
    RecordRefused,
    RedirectRefused,
    Revoked,
    RotateError,
    SourceRefused,
    TargetExists,
    Unsolvable,
)

__all__ = [
    "AccessDenied",
    "AddressRefused",
    "Ambiguous",
    "BadSignature",
    "Busy",
    "ChangeError",
    "CommandFailed",
    "DigestMismatch",
    "DiskFull",
    "DriverFailed",
    "Encrypted",
    "Expired",
    "ExternalFile",
    "FeedUnreachable",
    "GroupRefused",
    "GuestCommandFailed",
    "GuestCommandHung",
    "GuestFull",
    "HostError",
    "InputError",
    "IntegrityError",
    "LeaseLost",
    "LibraryMissing",
    "ListedAlready",
    "Malformed",
    "MissingFile",
    "NewerCatalogue",
    "NoPackageDatabase",
    "NotAnArchive",
    "NotListed",
    "NotOffered",
    "NotPermitted",
    "NothingRead",
    "Pinned",
    "PlanError",
    "ProveError",
    "PublishError",
    "RecordRefused",
    "RedirectRefused",
    "RegildError",
    "Revoked",
    "RolledBack",
    "RotateError",
    "SignatureRefused",
    "SourceRefused",
    "TargetExists",
    "TooLarge",
    "ToolMissing",
    "Truncated",
    "Unanswered",
    "Unforeseen",
    "UnknownKey",
    "Unreachable",
    "UnsafeName",
    "Unsolvable",
    "UnsupportedError",
    "UnsupportedFilesystem",
    "UnsupportedFormat",
    "UsageError",
    "WrongKey",
    "WrongRelease",
]
