"""The commands of nemo-launcher: each reads or acts on one run."""
