"""Put the packages that the static page runs on into the wheel: hatchling runs this before it builds one.

They come from the npm registry, pinned and checked by `src/camtrace/web/vendor.py`. Without a network the wheel is built without
them, aloud: all but `camtrace export-web` works.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class VendorHook(BuildHookInterface):
    """Fetch what is pinned; an editable install does without."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run the module by its path: camtrace is not installed yet."""
        if version == "editable":
            return
        path = Path(self.root) / "src" / "camtrace" / "web" / "vendor.py"
        spec = importlib.util.spec_from_file_location("camtrace_web_vendor", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        try:
            module.vendor()
        except module.VendorError as error:
            if not isinstance(error.__cause__, OSError):  # fetched, and not what was pinned
                raise
            self.app.display_warning(f"built without the packages of the static page, so `camtrace export-web` will not work: {error}")
            return
        build_data["artifacts"].append("src/camtrace/web/page/vendor/**")
