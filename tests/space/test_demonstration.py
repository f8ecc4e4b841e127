"""The limits of the Space, without a browser."""

import pytest
from PIL import Image

from demonstration import read_source
from scsnet_hf import ImageError


@pytest.mark.parametrize("size", [(1, 2_500_000), (2_500_000, 1)])
def test_an_image_too_thin_to_be_reduced_is_refused_by_name(tmp_path, size):
    Image.new("L", size).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]} is too thin"):
        read_source(str(tmp_path / "thin.png"))
