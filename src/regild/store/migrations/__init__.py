"""How catalogues of older versions become new ones (alembic); one file a step, in `versions`."""
