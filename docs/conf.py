"""Sphinx configuration; build with ``tox -e docs``."""

import mxopt

project = "mxopt"
copyright = "the mxopt developers"
version = release = mxopt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
]
# Names of NumPy and Python are plain text where the network is out of reach.
intersphinx_mapping = {}
autosummary_generate = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
default_role = "literal"

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mxopt"
