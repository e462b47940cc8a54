"""`python -m regild`: the same as the command."""

from regild.cli.main import main

main()
