"""Where stages run: each executor starts attempts, tells which ended, and stops them."""
