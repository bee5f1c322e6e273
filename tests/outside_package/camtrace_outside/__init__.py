"""Plug-ins of camtrace from outside of it, as the tests install them and docs/plugins.md shows them."""
