"""The commands of the console script, by the part of the package that runs them; nothing heavy is imported."""
