"""Give a trained network another trunk of EfficientNet-Lite without starting over.

    python scripts/research/transplant_trunk.py medium OUTPUT --data 'photos/*.parquet' \
        --width 1.1 --depth 1.2

All other layers keep their weights. The lateral layers, which read the trunk, are fitted by ridge
regression: on every level they should give what the old ones give. OUTPUT is a model for
`train.py --init-from`.
"""

import argparse
import random
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import nn

from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.color import normalize_lab, srgb_to_lab
from scsnet_hf.data import PairMaker, iterate_photographs
from scsnet_hf.registration import find_checkpoint
from scsnet_hf.training.initialization import load_initial_model

_RIDGE = 1e-3  # share of the mean variance of the trunk's features
_VIEW = 128  # pixels


class LateralFit:
    """Ridge regression from the features of one level of a trunk to another lateral's output."""

    def __init__(self, inputs: int, outputs: int):
        self._squares = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self._products = torch.zeros(inputs + 1, outputs, dtype=torch.float64)

    def add(self, features: torch.Tensor, wanted: torch.Tensor) -> None:
        """Take in features (1, C, h, w) and what the layer should make of them."""
        rows, wanted = _rows(features), _rows(wanted)
        rows = torch.cat((rows, torch.ones(len(rows), 1, dtype=rows.dtype)), dim=1)
        self._squares += rows.T @ rows
        self._products += rows.T @ wanted

    @torch.no_grad()
    def solve(self, lateral: nn.Conv2d) -> None:
        """Set the layer's weights."""
        diagonal = self._squares.diagonal().clone()
        ridge = _RIDGE * diagonal[:-1].mean() * torch.eye(len(diagonal), dtype=torch.float64)
        ridge[-1, -1] = 0  # of the bias
        solution = torch.linalg.solve(self._squares + ridge, self._products).float()
        lateral.weight.copy_(solution[:-1].T.reshape(lateral.weight.shape))
        lateral.bias.copy_(solution[-1])


def _rows(features: torch.Tensor) -> torch.Tensor:
    return features.double().flatten(2)[0].T


def transplant(
    old: SCSNetForImageToImage, new: SCSNetForImageToImage, pixels: Iterable[torch.Tensor]
) -> None:
    """Fit the lateral layers of `new` on sources (1, 1, H, W), normalized L."""
    sizes = zip(new.source_encoder.trunk.channels, new.source_encoder.lateral, strict=True)
    fits = [LateralFit(channels, lateral.out_channels) for channels, lateral in sizes]
    with torch.no_grad():
        for source in pixels:
            levels = zip(fits, _levels(new, source), _levels(old, source), strict=True)
            for index, (fit, features, others) in enumerate(levels):
                fit.add(features, old.source_encoder.lateral[index](others))
    for fit, lateral in zip(fits, new.source_encoder.lateral, strict=True):
        fit.solve(lateral)


def _levels(model: SCSNetForImageToImage, source: torch.Tensor) -> list[torch.Tensor]:
    factor = model.config.source_enlargement
    enlarged = nn.functional.interpolate(source, scale_factor=factor, mode="bicubic")
    return model.source_encoder.pyramid(enlarged)


def random_views(data: list[str], count: int) -> Iterator[torch.Tensor]:
    """Yield square views of photographs as sources."""
    make_pair = PairMaker(_VIEW, _VIEW, _VIEW, scale_range=(1.0, 1.0), view_range=(0.75, 1.0))
    rng, images = random.Random(0), iterate_photographs(data)
    for image in islice(images, count):
        source = torch.from_numpy(make_pair(image, rng)["source"])[None] / 255
        yield normalize_lab(srgb_to_lab(source))[:, :1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder, Hub id or embedded checkpoint")
    parser.add_argument("output")
    parser.add_argument("--data", nargs="+", required=True, help="photographs, as for train.py")
    parser.add_argument("--width", type=float, required=True, help="trunk_width")
    parser.add_argument("--depth", type=float, required=True, help="trunk_depth")
    parser.add_argument("--count", type=int, default=1500, help="photographs to fit on")
    args = parser.parse_args()
    source = find_checkpoint(args.model)
    fields = {"trunk_width": args.width, "trunk_depth": args.depth}
    old, new = (
        load_initial_model(init_from=source),
        load_initial_model(init_from=source, fields=fields),
    )
    transplant(old, new, random_views(args.data, args.count))
    new.save_pretrained(args.output)
    SCSNetImageProcessor.from_pretrained(source).save_pretrained(args.output)


if __name__ == "__main__":
    main()
