"""The exponential moving average of the weights, which gives better images than the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers.training_utils import EMAModel
from safetensors.torch import load_file
from transformers import PreTrainedModel, TrainerCallback
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import SAFE_WEIGHTS_NAME

_FOLDER = "average"


class WeightAverage(TrainerCallback):
    """Averages the weights of a model after each optimizer step.

    Args:
        model: the model being trained.
        decay: weight of the earlier average in a step, warmed up; 0 (the paper) for no average but
            the last weights.
        image_processor: saved with the average, if there is one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        decay: float,
        image_processor: BaseImageProcessor | None = None,
    ):
        self._model, self._image_processor = model, image_processor
        self._average = None
        if decay:
            options = {"decay": decay, "use_ema_warmup": True, "power": 3 / 4}
            self._average = EMAModel(model.parameters(), **options)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Update the average."""
        if self._average is not None:
            self._average.step(self._model.parameters())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model its averaged weights within the block."""
        if self._average is None:
            yield
            return
        parameters = list(self._model.parameters())
        self._average.store(parameters)
        self._average.copy_to(parameters)
        try:
            yield
        finally:
            self._average.restore(parameters)

    def save_model(self, folder: str | Path) -> None:
        """Save the averaged model, loadable by `from_pretrained`, with its image processor."""
        with self.applied():
            self._model.save_pretrained(folder)
        if self._image_processor is not None:
            self._image_processor.save_pretrained(folder)

    def save(self, folder: str | Path) -> None:
        """Save the averaged model into a checkpoint, as its folder `average`."""
        self.save_model(Path(folder) / _FOLDER)

    def load(self, folder: str | Path, step: int) -> None:
        """Read what `save` wrote at an optimizer step."""
        if self._average is None:
            return
        weights = load_file(Path(folder) / _FOLDER / SAFE_WEIGHTS_NAME)
        self._average.shadow_params = [
            weights[name].to(parameter.device) for name, parameter in self._model.named_parameters()
        ]
        self._average.optimization_step = step
