import sys

from nemo_launcher.foundation.command import main

from .program import PROGRAM

sys.exit(main(PROGRAM))
