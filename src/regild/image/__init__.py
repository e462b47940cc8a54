"""From disk bytes to a file tree and back: formats, volumes, filesystems."""
