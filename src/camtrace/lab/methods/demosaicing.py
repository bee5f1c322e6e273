"""Demosaicing features: where a photo is not what plain demosaicing would have made of it (Chen & Stamm 2015; METHOD section 2).

Patches (n, 3, h, w) -> 1,372 = 4 x 7^3 features. A photo is thinned out to the Bayer pattern and demosaiced again by a baseline
algorithm; the errors against the photo are quantised to seven levels and counted three by three.

Public is only the outline: baseline algorithms, errors cut at T = 3, third-order co-occurrences on the geometry of the Bayer cell,
within a channel and across channels, 1,372 features, an ensemble of Fisher discriminants. These are the choices made here; the
figures are patches right among six made cameras that differ in demosaicing alone (sharp, JPEG at quality 97), and among 20 real
cameras (10 photos each to learn, 6 to ask), with one linear discriminant: 97 % and 67 % for what was chosen.

- **Pattern:** red at (0, 0), blue at (1, 1), for every photo. Another phase leaves other errors: that is a trace of the camera, too.
- **Two baselines, bilinear and Malvar-He-Cutler** (gradient-corrected): one fills each channel by itself, one with the help of the
  others. Nearest neighbour in place of the second: 99 % and 63 %. Both are linear, so that all errors of a cell are one
  convolution over its 6x6 surroundings.
- **Two geometries** for each baseline. Within a channel: the three interpolated reds of a cell in the order of a walk around it, and
  its three blues. Across channels: the green error at the red pixel, then the red and the blue error at the green pixel beside
  it in the row, and the same from the blue pixel. A cell turned by 180 degrees is a cell with red and blue swapped; both are counted
  in one table, which doubles the samples of a small patch.
- **Step q = 2**, halves away from zero, T = 3. With q = 1, 95 % and 67 %: more errors are cut off.
- **Border:** cells whose 6x6 surroundings leave the photo are not counted: a patch of 64x64 has 900 cells and 1,800 triples a table.
- **Shares, not counts:** each of the four tables sums to 1, whatever the size of the photo.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from camtrace.lab.methods.method import Features, Method
from camtrace.lab.methods.spam import count, quantise, shares
from camtrace.simulator.demosaic import Phase, bilinear, malvar, mosaic
from camtrace.simulator.filters import Plane
from camtrace.types import CamtraceError

PHASE = (0, 0)
STEP = 2
LIMIT = 3
LEVELS = 2 * LIMIT + 1
SUPPORT = 6  # a cell and two pixels around it, as far as Malvar's kernels reach
RED, GREEN, BLUE = range(3)

Site = tuple[int, int, int]  # channel, row and column within the cell
WITHIN: tuple[tuple[Site, Site, Site], ...] = (
    ((RED, 0, 1), (RED, 1, 1), (RED, 1, 0)),
    ((BLUE, 1, 0), (BLUE, 0, 0), (BLUE, 0, 1)),
)
ACROSS: tuple[tuple[Site, Site, Site], ...] = (
    ((GREEN, 0, 0), (RED, 0, 1), (BLUE, 0, 1)),
    ((GREEN, 1, 1), (BLUE, 1, 0), (RED, 1, 0)),
)
INTERPOLATED: tuple[Site, ...] = tuple(sorted({site for triple in WITHIN for site in triple} | {triple[0] for triple in ACROSS}))


class Demosaicing(Features):
    """Co-occurrences of demosaicing errors: bilinear within and across channels, then Malvar within and across.

    All errors are multiples of 1/16, exact in float32 whatever the order of sums.
    """

    dimension = 2 * 2 * LEVELS**3
    kernels: Tensor
    numbering: Tensor
    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", torch.cat([error_kernels(bilinear), error_kernels(malvar)]), persistent=False)
        self.register_buffer("numbering", _numbering(), persistent=False)
        self.register_buffer("offsets", LEVELS**3 * torch.arange(4).repeat_interleave(2)[:, None], persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 1372).

        Raises
        ------
        CamtraceError
            A patch has fewer than 6 rows or columns.
        """
        height, width = patches.shape[-2:]
        if min(height, width) < SUPPORT:
            raise CamtraceError(f"a patch of {width}x{height} pixels: demosaicing features need at least {SUPPORT}x{SUPPORT}")
        errors = functional.conv2d(patches, self.kernels, stride=2)  # (n, 2 * 8, cells down, cells across)
        levels = quantise(errors, step=STEP, limit=LIMIT).flatten(2)  # (n, 16, cells)
        patterns = (self.numbering @ levels).long() + self.offsets  # (n, 4 tables * 2 triples, cells)
        tables = count([patterns.flatten(1)], self.dimension).reshape(-1, 4, LEVELS**3)
        return shares(tables).flatten(1)


def error_kernels(demosaic: Callable[[Plane, Phase], Plane]) -> Tensor:
    """What a linear demosaicing gets wrong at each interpolated site of a cell, for every pixel and channel around it.

    (8, 3, 6, 6), in the order of INTERPOLATED: the errors left by photos that are black but for one sample.
    """
    kernels = np.zeros((len(INTERPOLATED), 3, SUPPORT, SUPPORT), np.float32)
    corner = SUPPORT  # of the surroundings, in a photo so large that its border plays no part
    for channel, row, col in np.ndindex(kernels.shape[1:]):
        photo = np.zeros((3 * SUPPORT, 3 * SUPPORT, 3), np.float32)
        photo[corner + row, corner + col, channel] = 1
        error = photo - demosaic(mosaic(photo, PHASE), PHASE)
        kernels[:, channel, row, col] = [error[corner + 2 + down, corner + 2 + across, own] for own, down, across in INTERPOLATED]
    return torch.from_numpy(kernels)


def _numbering() -> Tensor:
    """(8, 16): turns the levels of both baselines at the sites of a cell into one number 0 .. 342 for each of their triples."""
    triples, sites = WITHIN + ACROSS, len(INTERPOLATED)
    matrix = torch.zeros(2 * len(triples), 2 * sites)
    for baseline, (row, triple) in product(range(2), enumerate(triples)):
        for place, site in enumerate(triple):
            matrix[baseline * len(triples) + row, baseline * sites + INTERPOLATED.index(site)] = LEVELS ** (2 - place)
    return matrix


METHOD = Method(
    name="demosaicing",
    source="Chen & Stamm 2015, in Bondi et al. 2017, Fig. 3",
    make=Demosaicing,
    head="fisher",
    heads=("fisher", "svm"),
    whole_photos=True,
)
