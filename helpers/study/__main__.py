"""`python -m helpers.study`."""

import sys

from helpers.study.commands import main

if __name__ == "__main__":
    sys.exit(main())
