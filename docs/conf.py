"""Sphinx configuration; build with ``tox -e docs``."""

import sys
from pathlib import Path

import mxopt

sys.path.insert(0, str(Path(__file__).parent))
import tables  # noqa: E402  (beside this file)

project = "mxopt"
copyright = "the mxopt developers"
version = release = mxopt.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_parser", "sphinx_copybutton"]
# what is copied runs: prompts and output stay behind
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
myst_enable_extensions = ["deflist"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "literal"
nitpicky = True
# References to NumPy and Python are not resolved: building needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!mxopt).*")]
try:
    import torch  # noqa: F401
except ImportError:  # the page on PyTorch is made without it
    autodoc_mock_imports = ["torch"]

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mxopt"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["mxopt.css"]


def setup(app):
    app.connect("builder-inited", lambda app: tables.write(Path(app.srcdir, "generated")))
