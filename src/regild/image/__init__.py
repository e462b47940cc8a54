"""From disk bytes to a file tree and back: formats, volumes, filesystems.

What reads: `disk` (any format, by its magic), `volumes`, `tree` (the guest's files). What changes:
`overlay`, `vmdk_stream`. What names a disk by its bytes: `merkle`. Each is imported from its own
module, so that a command loads only what it needs.
"""
