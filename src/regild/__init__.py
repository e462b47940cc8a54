"""regild keeps golden virtual-machine images up to date while they are offline."""

__version__ = "0.1.0"

__all__ = ["__version__"]
