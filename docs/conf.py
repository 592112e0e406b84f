"""Configuration of the site: `python -m sphinx -W -b html docs build/site` builds it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import neurofit

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))  # command_line.py and data_docstrings.py

from data_docstrings import docstring_below  # noqa: E402 - found by the line above

project = "neurofit"
author = "the neurofit authors"
project_copyright = author
version = release = neurofit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "command_line",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py", "gallery/*.json", "gallery/*.zip"]
nitpicky = False

# Pages are written in Markdown, whose headings are link targets as they are in the repository.
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
# Blocks without a language are commands and their output.
highlight_language = "none"
smartquotes = False
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name

autosummary_generate = True
autodoc_mock_imports = ["brainscore_core", "brainscore_vision"]  # not beside what the site needs
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": False}
napoleon_google_docstring = False
napoleon_use_rtype = False
templates_path = ["_templates"]

# Scripts that need Brain-Score's environment are shown and not run.
sphinx_gallery_conf = {
    "parallel": os.cpu_count() or 1,
    "examples_dirs": str(DOCS.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/](?!brainscore_)\w+\.py$",
    "ignore_pattern": r"__init__\.py",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "matplotlib_animations": False,
    "reference_url": {"neurofit": None},
    "doc_module": ("neurofit",),
    "abort_on_example_error": True,
    "capture_repr": (),
    "nested_sections": False,
    "within_subsection_order": "ExampleTitleSortKey",
    "first_notebook_cell": "# Requires `pip install neurofit`.\n%matplotlib inline",
}
if "NEUROFIT_DOCS_EXAMPLES" in os.environ:  # a pattern, to build the site with some of them
    sphinx_gallery_conf["filename_pattern"] = os.environ["NEUROFIT_DOCS_EXAMPLES"]

html_theme = "furo"
html_title = f"neurofit {release}"
html_static_path = ["_static"]
html_extra_path = ["open_table.html"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#1b5e8c", "color-brand-content": "#1b5e8c"},
    "dark_css_variables": {"color-brand-primary": "#7ab8e6", "color-brand-content": "#7ab8e6"},
}


def accessible(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Add what screen readers and keyboards need, which the theme leaves out."""
    for part, old, new in (
        ("furo_navigation_tree", 'role="heading"', 'role="heading" aria-level="2"'),
        ("body", "<pre>", '<pre tabindex="0">'),
        ("body", '<table class="docutils', '<table tabindex="0" class="docutils'),
    ):
        if part in context:
            context[part] = context[part].replace(old, new)
    if page == "gallery/index":  # the text of links over thumbnails is not displayed
        link = r'<a class="reference internal" (href="[^"]*"><span class="doc">([^<]*)<)'
        context["body"] = re.sub(
            link, r'<a class="reference internal" aria-label="\2" \1', context["body"]
        )


def describe_data(
    app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Replace the docstring of the class of an object, which autodoc takes, by the object's own."""
    if what == "data":
        module, _, own = name.rpartition(".")
        lines[:] = docstring_below(module, own).splitlines()


def setup(app: Any) -> None:
    """Run after the theme, and before napoleon."""
    app.connect("html-page-context", accessible, priority=900)
    app.connect("autodoc-process-docstring", describe_data, priority=400)
