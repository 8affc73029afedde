"""``python -m serenanet_modules.cli``."""

import sys

from serenanet_modules.cli import main

if __name__ == "__main__":
    sys.exit(main())
