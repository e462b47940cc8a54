"""What the consumers of OVF trip over: rules, what they find, and what can be put right safely."""
