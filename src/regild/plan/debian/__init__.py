"""How Debian's package relations are put before libsolv, so that it decides as apt does."""
