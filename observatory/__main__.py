"""`python -m observatory`."""

import sys

from observatory.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
