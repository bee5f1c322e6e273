"""SOCRatES (Galdi, Hartung and Dugelay, ICPRAM 2019): 103 phones, photographed with by their owners.

    socrates/Samsung_GalaxyS6_01/any/folders/photo.jpg     device 01 of the camera Samsung GalaxyS6
    socrates/Apple_iPhone_6/photo.jpg                      the only device of the camera Apple iPhone 6

The set is given out after a signed agreement, and no public text says how it lies on disk. What is read is therefore a convention
of ours: one folder a device, named brand and model. Devices of one camera are told apart by an ending, `_d1` or a number that
starts with zero; any other number belongs to the model. The folder is recognised by `socrates` in its own name.
Nothing is known of the scenes: each device counts as one.
"""

from __future__ import annotations

from pathlib import Path

from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.lab.datasets.trees import read_bodies, required

TREE = "Samsung_GalaxyS6_01/any/folders/photo.jpg"


def read(root: Path) -> list[Record]:
    """Read one folder a device; CamtraceError where there is no photo."""
    return required(read_bodies(root), root, name="SOCRatES", tree=TREE)


LAYOUT = Layout(
    name="socrates",
    read=read,
    recognises=lambda root: root.is_dir() and "socrates" in root.resolve().name.lower(),
    tree=TREE,
    how_to_get=(
        "Ask for it at http://socrates.eurecom.fr and sign the agreement. Put the photos into DATA/socrates, one folder a device,\n"
        f"named brand and model, so that DATA/socrates/{TREE} is there, and give DATA/socrates."
    ),
    licence="the signed agreement",
    published=Published(devices=103),  # about 9,700 photos by about 60 models; nobody says exactly
)
