"""Dictionaries that cut scripts without blanks into words: a module a language, each with ``cut(run)``."""
