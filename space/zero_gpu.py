"""ZeroGPU, where a Space of Hugging Face is given a GPU for the length of a call.

It has to be imported before torch.
"""

from collections.abc import Callable

try:
    import spaces  # only installed there

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function: Callable) -> Callable:
        """Run a function where the process runs."""
        return function
