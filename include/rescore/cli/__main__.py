"""``python -m rescore.cli``."""

from rescore.cli import main

main()
