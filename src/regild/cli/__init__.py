"""The front door: commands, progress, answers and exit codes."""
