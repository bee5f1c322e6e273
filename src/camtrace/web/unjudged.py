"""The results for photos that no worker could judge: the same shapes as for those that were, with status `unreadable` and a reason.

One is larger than the service takes, went past its time limit, or brought its worker down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from camtrace.batches.batch import not_judged
from camtrace.inspection import Inspection
from camtrace.likeness import Compared, Likeness
from camtrace.screening import visible
from camtrace.tampering.localization import Localization
from camtrace.types import BundleId

JUDGING = ("identify", "inspect", "localize", "compare")
"""The tasks that have a result for a photo that could not be judged; the others have an error."""


def document(
    task: str, names: Sequence[str], blobs: Sequence[bytes], *, reason: str, bundle: BundleId, size: int = 64
) -> dict[str, Any]:
    """The JSON values that a task gives for photos that could not be judged; `size` is the bundle's, of a patch.

    `task` is one of JUDGING. Of the two photos of a comparison it is not known which is to blame.
    """
    hashes = [hashlib.sha256(blob).hexdigest() for blob in blobs]
    why = f"{' and '.join(map(visible, names))}: {reason}"
    if task == "compare":
        first, second = (Compared(name, sha256, "unreadable", 0, (why,)) for name, sha256 in zip(names, hashes, strict=True))
        return Likeness((first, second), "unreadable", None, None, why, None, bundle).to_dict()
    if task == "localize":
        return Localization(names[0], hashes[0], "unreadable", why, False, None, None, bundle).to_dict()
    verdict = not_judged(names[0], why, bundle, sha256=hashes[0])
    return verdict.to_dict() if task == "identify" else Inspection(verdict, None, None, size, (), (), {}).to_dict()
