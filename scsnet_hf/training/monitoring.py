"""Progress of a run: averages of its loss terms, and sample images."""

import time
from collections import defaultdict
from pathlib import Path

import torch
from PIL import Image
from transformers import TrainerCallback

from ..color import denormalize_lab, lab_to_srgb
from ..data.colorfulness import colorfulness
from ..io.panels import draw_panels
from ..io.saving import save_image
from ..modeling_scsnet import SCSNetForImageToImage
from .inputs import srgb_to_normalized_lab

_PANEL_WIDTH = 128  # pixels, at least


class RunningMeans:
    """Means of logged values over the steps since they were last taken, and samples per second."""

    def __init__(self):
        self._sums: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros(()))
        self._counts: dict[str, int] = defaultdict(int)
        self._samples, self._since = 0, time.perf_counter()

    def add(self, values: dict[str, torch.Tensor], samples: int) -> None:
        """Add the scalars of one step; they stay on their device until `take`."""
        for name, value in values.items():
            self._sums[name] = self._sums[name].to(value.device) + value.float()
            self._counts[name] += 1
        self._samples += samples

    def take(self, accelerator) -> dict[str, float]:
        """Return the means over steps and processes, with `images_per_second`, and reset them.

        All processes must call this together.
        """
        names = sorted(self._sums)
        means = [self._sums[name] / self._counts[name] for name in names]
        if means:
            means = accelerator.reduce(torch.stack(means), reduction="mean").tolist()
        seconds = time.perf_counter() - self._since
        rate = self._samples * accelerator.num_processes / seconds
        self.__init__()
        return {**dict(zip(names, means, strict=True)), "images_per_second": round(rate, 1)}


class SampleGrids(TrainerCallback):
    """Draws a grid of sample images at regular steps, one row for each sample.

    The columns are those of `sample_images`. Grids are PNG files in `samples/` in the run's folder,
    and in TensorBoard where that is on.

    Args:
        trainer: an `SCSNetTrainer`.
        batch: the samples, from `data.collate`.
        every: number of steps from one grid to the next.
    """

    def __init__(self, trainer, batch: dict[str, torch.Tensor], every: int):
        self.trainer, self.batch, self.every = trainer, batch, every

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Draw the grid, in the main process."""
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        if not state.is_world_process_zero:
            return
        with self.trainer.weight_average.applied():
            grid = draw_grid(sample_images(self.trainer.model, self.batch))
        save_image(grid, Path(args.output_dir) / "samples" / f"step-{state.global_step:06d}.png")
        for callback in self.trainer.callback_handler.callbacks:
            writer = getattr(callback, "tb_writer", None)
            if writer is not None:
                pixels = torch.frombuffer(bytearray(grid.tobytes()), dtype=torch.uint8)
                pixels = pixels.view(grid.height, grid.width, 3)
                writer.add_image("samples", pixels, state.global_step, dataformats="HWC")


@torch.no_grad()
def sample_images(
    model: SCSNetForImageToImage, batch: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Apply a model to samples in both modes.

    Args:
        model: the network.
        batch: samples of `data.training_stream`, collated.

    Returns:
        Caption -> normalized Lab (B, 3, H, W): input, automatic, reference, referential (the last
        two if the model has cross attention) and truth.
    """
    batch = {name: values.to(model.device) for name, values in batch.items()}
    source, reference, truth = (
        srgb_to_normalized_lab(batch[name]) for name in ("source", "reference", "labels")
    )
    inputs = {
        "pixel_values": source[:, :1],
        "output_size": batch["output_size"],
        "output_start": batch["output_start"],
        "labels": truth,
    }
    was_training = model.training
    model.eval()
    images = {"input": torch.cat((source[:, :1], 0 * source[:, 1:]), dim=1)}
    images["automatic"] = model(**inputs).reconstruction
    if model.config.cross_attention != "none":
        images["reference"] = reference
        images["referential"] = model(**inputs, reference_pixel_values=reference).reconstruction
    model.train(was_training)
    return {**images, "truth": truth}


def draw_grid(columns: dict[str, torch.Tensor]) -> Image.Image:
    """Draw images as a grid with captions.

    Args:
        columns: caption -> normalized Lab (B, 3, H, W), of any size; a row for each sample.
    """
    images = {caption: to_images(column) for caption, column in columns.items()}
    rows = [dict(zip(images, row, strict=True)) for row in zip(*images.values(), strict=True)]
    width = max(_PANEL_WIDTH, *(column.shape[-1] for column in columns.values()))
    return draw_panels(rows, width)


def to_images(normalized: torch.Tensor) -> list[Image.Image]:
    """Convert normalized Lab (B, 3, H, W) to RGB images."""
    rgb = lab_to_srgb(denormalize_lab(normalized.cpu())).mul(255).round().byte()
    return [Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()) for one in rgb]


def mean_colorfulness(normalized: torch.Tensor) -> torch.Tensor:
    """Return the mean `colorfulness` of normalized Lab images (B, 3, H, W), a detached scalar."""
    return colorfulness(255 * lab_to_srgb(denormalize_lab(normalized.detach()))).mean()
