"""Which changes are available: package repositories and advisories."""
