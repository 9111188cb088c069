"""``python -m nemo_launcher`` is the console script ``nemo-launcher``."""

import sys

from .cli import main

sys.exit(main())
