"""libsolv asked as dnf asks it, for guests of rpm."""
