"""Tiny real stages for the launcher's tests."""
