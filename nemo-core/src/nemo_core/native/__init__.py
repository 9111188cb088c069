"""The loops in C of nemo-core/native, compiled with the package: found, loaded and given their types."""
