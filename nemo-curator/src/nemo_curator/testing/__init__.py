"""Small corpora for tests of this package and of steps that others write."""
