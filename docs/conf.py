"""Sphinx settings: Markdown pages, warnings as errors, no network."""

project = "NeMo suite"
author = "The NeMo suite authors"
extensions = ["myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = "NeMo suite"
html_theme_options = {"source_directory": "docs/"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
