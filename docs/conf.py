"""How Sphinx builds the site: `make docs`, of a copy of the pages beside the reference made from the code."""

project = "Rescore"
author = "the authors of Rescore"
root_doc = "docs/index"
extensions = ["myst_parser"]
myst_heading_anchors = 3
# Commands and printed tables are no language that could be coloured.
highlight_language = "text"
nitpicky = True

html_theme = "furo"
html_title = "Rescore"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
