"""Sphinx: `python -m sphinx -W -b html docs build/site`; pages of parts, programs and figures are made of the code."""

import pathlib
import sys

import jaxnas

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_extension"))

project = "jaxnas"
author = "The jaxnas authors"
copyright = "2026, the jaxnas authors"
version = release = jaxnas.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "api",
    "mathml",
    "parts",
    "programs",
]
html_theme = "furo"
html_math_renderer = "mathml"
html_css_files = ["site.css"]
html_static_path = ["_static"]
html_title = "jaxnas"
html_copy_source = False
html_show_sourcelink = False
exclude_patterns = ["_extension"]
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [("py:(class|data|obj|exc)", ".*")]  # in annotations
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
