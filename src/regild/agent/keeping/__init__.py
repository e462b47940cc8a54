"""The store, opened: generations in, out and to others, and jobs as rows."""
