"""The commands, one a file; each reads its options, calls the agent and hands back an outcome."""
