"""``python -m nemo_aligner`` is the console script ``nemo-aligner``."""

import sys

from .cli import main

sys.exit(main())
