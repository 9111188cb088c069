"""Readable text out of HTML."""
