"""How Sphinx builds the site: `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from generate import write_reference  # noqa: E402

from atml.version import __version__  # noqa: E402

write_reference(HERE / "reference")

project = "ATML"
author = "the ATML contributors"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google's style
    "sphinx_copybutton",
]
default_role = "code"  # `name` in a docstring
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
myst_heading_anchors = 3
exclude_patterns = ["reference/schemas"]

html_theme = "furo"
html_title = "ATML"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# The button copies what is to be typed, without prompts and answers.
copybutton_prompt_text = "$ "
copybutton_here_doc_delimiter = "END"
copybutton_line_continuation_character = "\\"
