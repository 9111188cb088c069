"""Toy tasks with a known optimum, small enough to learn in seconds: they show that alignment works here."""
