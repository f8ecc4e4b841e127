"""Which photographs are good enough."""

import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data.selection import PRESELECTION, Selection, thumbnail_colorfulness


class TestSelection:
    def test_nothing_is_left_out_unless_asked(self):
        assert Selection().rejection_reason(Image.new("RGB", (4, 4))) is None

    @pytest.mark.parametrize("level", [0, 90, 255])
    def test_gray_is_left_out(self, level):
        image = Image.new("RGB", (100, 80), (level,) * 3)
        assert "colorfulness" in Selection(min_colorfulness=0.01).rejection_reason(image)

    def test_colorful_is_kept(self):
        assert PRESELECTION.rejection_reason(make_image(100, 80)) is None

    def test_the_measure_hardly_depends_on_the_size(self):
        image = make_image(64, 64)
        larger = image.resize((300, 300), Image.Resampling.BICUBIC)
        assert thumbnail_colorfulness(larger) == pytest.approx(
            thumbnail_colorfulness(image), rel=0.1
        )

    @pytest.mark.parametrize("size", [(1, 1), (3000, 2), (65, 64)])
    def test_any_size_is_measured(self, size):
        assert thumbnail_colorfulness(Image.new("RGB", size, "red")) > 50

    @pytest.mark.parametrize("name", ["min_bytes", "min_colorfulness"])
    @pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
    def test_values_that_cannot_be_are_refused(self, name, value):
        with pytest.raises(ValueError, match=name):
            Selection(**{name: value})
