"""What every package of the suite shares: artifacts, settings, the command line, errors, progress.

Standard library, msgspec, PyYAML and tqdm only; each is imported where it is used. nemo-core holds the
original; nemo-curator and nemo-launcher carry identical copies (they depend on no other package), kept equal
by ``tools/sync_foundation.py`` and a test.
"""
