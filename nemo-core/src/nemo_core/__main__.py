"""``python -m nemo_core`` is the console script ``nemo-core``."""

import sys

from .cli import main

sys.exit(main())
