"""`python -m pessimal`."""

import sys

from pessimal.cli.main import main

sys.exit(main())
