"""Verb 2: from Content and available releases to a Plan; pure."""
