"""`python -m safecase`."""

from safecase.cli import main

main()
