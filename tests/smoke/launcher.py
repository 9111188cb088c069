"""nemo-launcher's wheel alone: a workflow of one command that writes a file, run once and skipped the second time."""

from console import check_basics

check_basics("nemo-launcher", without=("torch", "pandas", "dask", "ray", "transformers", "numpy"))
