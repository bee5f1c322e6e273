"""How the documentation is built: `sphinx-build -W -b html docs OUT`, without network."""

from __future__ import annotations

import os
from pathlib import Path

from sphinx.application import Sphinx

import camtrace

DOCS = Path(__file__).resolve().parent

project = "camtrace"
author = "the camtrace authors"
copyright = "the camtrace authors, Apache-2.0"  # noqa: A001 - the name that Sphinx asks for
version = release = camtrace.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "**/.*"]
smartquotes = False  # options begin with two hyphens
default_role = "code"  # what single backticks in docstrings mean

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"camtrace {release}"
html_copy_source = False
html_theme_options = {"source_repository": "", "top_of_page_buttons": []}

PAGES_FROM_OUTSIDE = {
    "LAB_BOOK.md": "results/lab-book.md",
    "ARCHITECTURE.md": "architecture.md",
    "src/camtrace/models/default/card.md": "results/card.md",
}
"""Files outside this folder that a page here includes: links to the file become links to the page."""


def _link_to_pages(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to these files lead to their pages; on GitHub they lead to the files."""
    folder = DOCS / Path(docname).parent
    for file, page in PAGES_FROM_OUTSIDE.items():
        outside, inside = (Path(os.path.relpath(target, folder)).as_posix() for target in (DOCS.parent / file, DOCS / page))
        source[0] = source[0].replace(f"]({outside}", f"]({inside}")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _link_to_pages)
