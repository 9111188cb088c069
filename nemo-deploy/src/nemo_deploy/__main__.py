"""``python -m nemo_deploy`` is the console script ``nemo-deploy``."""

import sys

from .cli import main

sys.exit(main())
