"""Model sets and cases that several tests of the lab use."""

from __future__ import annotations

from pathlib import Path

from ondevice.lab.simulate import modelset
from ondevice.lab.simulate.modelset import ModelSet

# The authors' models without the MobileNets V1 for small pictures.
WITHOUT = ("mobilenet_v1_*_128", "mobilenet_v1_*_160", "mobilenet_v1_*_192")
SMALL = "model,top1,mean_ms,std_ms\nfast,0.5,10,1\nmiddle,0.7,20,2\nslow,0.8,40,4\n"


FOUR = """model,top1,mean_ms,std_ms,side
v1_128,0.44,2,0.2,128
v1_160,0.69,5,0.5,160
v1_192,0.80,10,1,192
v2_224,0.89,12,1.2,224
"""


def small(folder: Path, content: str = SMALL) -> ModelSet:
    """Three models, the slower the better."""
    path = folder / "small.csv"
    path.write_text(content)
    return modelset.find(str(path))


def authors(data: Path, place: str = "gpu") -> ModelSet:
    """The authors' 11 models."""
    return modelset.find(f"{data / 'profiles' / 'cnnselect_zoo.csv'}:{place}", modelset.ModelFilter((), WITHOUT))


def four(folder: Path) -> ModelSet:
    """Four models with the inputs, and about the accuracies and times, of ImageNet's MobileNets."""
    path = folder / "four.csv"
    path.write_text(FOUR)
    return modelset.find(str(path))
