"""What a run shows while it goes on: averages of its terms, and images."""

import time
from collections import defaultdict
from pathlib import Path

import torch
from PIL import Image
from transformers import TrainerCallback

from ..color import denormalize_lab, lab_to_srgb
from ..io.panels import draw_panels
from ..io.saving import save_image

_PANEL_WIDTH = 128  # pixels, at least


class RunningMeans:
    """Means over the steps since they were last taken, and samples per second."""

    def __init__(self):
        self._sums: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros(()))
        self._counts: dict[str, int] = defaultdict(int)
        self._samples, self._since = 0, time.perf_counter()

    def add(self, values: dict[str, torch.Tensor], samples: int) -> None:
        """Take in the values of one step; they stay on their device until `take`."""
        for name, value in values.items():
            self._sums[name] = self._sums[name].to(value.device) + value.float()
            self._counts[name] += 1
        self._samples += samples

    def take(self, accelerator) -> dict[str, float]:
        """Means over steps and processes, with `images_per_second`; the next ones start anew.

        All processes have to call this together.
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
    """Every so many steps a grid of images, one row each: input, automatic, reference,
    referential, truth; as PNG in the run's folder, and in TensorBoard where that is on.

    Args:
        trainer: an SCSNetTrainer.
        batch: samples to show, from `data.collate`.
        every: steps from one grid to the next.
    """

    def __init__(self, trainer, batch: dict[str, torch.Tensor], every: int):
        self.trainer, self.batch, self.every = trainer, batch, every

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Draw the grid, in the main process."""
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        if not state.is_world_process_zero:
            return
        grid = draw_grid(self.trainer.restore(self.batch))
        save_image(grid, Path(args.output_dir) / "samples" / f"step-{state.global_step:06d}.png")
        for callback in self.trainer.callback_handler.callbacks:
            writer = getattr(callback, "tb_writer", None)
            if writer is not None:
                pixels = torch.frombuffer(bytearray(grid.tobytes()), dtype=torch.uint8)
                pixels = pixels.view(grid.height, grid.width, 3)
                writer.add_image("samples", pixels, state.global_step, dataformats="HWC")


def draw_grid(columns: dict[str, torch.Tensor]) -> Image.Image:
    """Caption -> normalized Lab (B, 3, H, W), of any size, to an image with a row per sample."""
    images = {caption: to_images(column) for caption, column in columns.items()}
    rows = [dict(zip(images, row, strict=True)) for row in zip(*images.values(), strict=True)]
    width = max(_PANEL_WIDTH, *(column.shape[-1] for column in columns.values()))
    return draw_panels(rows, width)


def to_images(normalized: torch.Tensor) -> list[Image.Image]:
    """Normalized Lab (B, 3, H, W) to RGB images."""
    rgb = lab_to_srgb(denormalize_lab(normalized.cpu())).mul(255).round().byte()
    return [Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()) for one in rgb]
