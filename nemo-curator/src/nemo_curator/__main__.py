"""``python -m nemo_curator`` is the console script ``nemo-curator``."""

import sys

from .cli import main

sys.exit(main())
