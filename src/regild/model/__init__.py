"""The nouns as plain frozen values, with JSON both ways; no input or output, no clock."""
