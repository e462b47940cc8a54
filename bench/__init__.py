"""Measures regild beside what one would do by hand, and keeps the figures."""
