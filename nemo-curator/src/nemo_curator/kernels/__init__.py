"""Compiled loops over Arrow string buffers: thin functions here, the loops in C (``native/``); they release the GIL."""
