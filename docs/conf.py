"""Sphinx configuration; build with ``tox -e docs``."""

import sys
from pathlib import Path

import mxopt

sys.path.insert(0, str(Path(__file__).parent))
import tables  # noqa: E402  (beside this file)

project = "mxopt"
copyright = "the mxopt developers"
version = release = mxopt.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
myst_enable_extensions = ["deflist"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "literal"
nitpicky = True
# References to NumPy and Python are not resolved: building needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!mxopt).*")]

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mxopt"
html_copy_source = False


def setup(app):
    app.connect("builder-inited", lambda app: tables.write(Path(app.srcdir, "generated")))
