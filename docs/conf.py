"""How Sphinx builds these pages. `make docs` runs it with every warning an error, and without the network."""

import sys
from pathlib import Path

import bayeskit

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "bayeskit"
author = "The bayeskit developers"
copyright = "2026, The bayeskit developers"
version = release = bayeskit.__version__

extensions = [
    "conjugacy_table",  # ours, in _ext
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "benchmarks_table.md"]  # the table is included by a page
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
autosummary_generate = True
autosummary_filename_map = {"bayeskit.Metropolis": "bayeskit.MetropolisStep"}  # beside bayeskit.metropolis on any disk
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d+_",
    "ignore_pattern": r"^\D",  # the pages are the numbered scripts
    "within_subsection_order": "FileNameSortKey",
    "copyfile_regex": r".*\.csv",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["bayeskit.css"]
html_theme_options = {
    "description": "Integrate what can be integrated, sample only what remains, and say why.",
    "fixed_sidebar": True,
    "page_width": "1180px",
    "body_max_width": "auto",
}
html_show_sourcelink = False
