"""EfficientNetV2-M on the whole photo, resized to 512x512: the second paper's own setting (Calderon et al. 2025; METHOD section 4).

There to be measured, not to be used: resizing destroys the traces of processing and lets the net read the scene.
"""

from __future__ import annotations

from dataclasses import replace

from camtrace.lab.methods.efficient_net import METHOD as ON_CROPS
from camtrace.patches import RESIZED

METHOD = replace(ON_CROPS, name="efficient-net-resized", source="Calderon et al. 2025", size=512, rule=RESIZED, count=1)
