"""The loop that keeps all of it current, and what it does by itself."""
