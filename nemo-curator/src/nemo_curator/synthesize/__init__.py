"""Training rows derived from documents: questions with answers, and preferences between answers."""
