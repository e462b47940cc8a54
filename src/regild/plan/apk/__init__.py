"""libsolv asked as apk would decide, for guests of apk."""
