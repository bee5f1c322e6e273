"""A patch rule: the darkest patches first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def darkest(pixels: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Pixels (h, w, 3) -> scores (h // size, w // size), larger is better; -inf would exclude a patch."""
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    cells = pixels[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    scores: NDArray[np.float64] = -cells.mean(axis=(1, 3, 4))
    return scores
