"""Sources with their options, and the data sets of the paper."""

import pytest

from scsnet_hf.data.selection import PRESELECTION, Selection
from scsnet_hf.data.sources import SOURCES, resolve_source


class TestSources:
    def test_the_five_data_sets_of_the_paper_are_there(self):
        assert set(SOURCES) == {"imagenet-c", "celeba-hq", "flowers", "bird", "coco"}

    @pytest.mark.parametrize("name", ["imagenet-c", "bird", "coco"])
    def test_these_go_through_the_preselection(self, name):
        assert resolve_source(name).selection == PRESELECTION

    @pytest.mark.parametrize("name", ["celeba-hq", "flowers"])
    def test_these_are_taken_whole_as_the_papers_counts_say(self, name):
        source = resolve_source(name)
        assert source.selection == Selection()
        assert len(source.split.split("+")) == 2

    def test_the_preselection_asks_for_80_kilobytes(self):
        assert PRESELECTION.min_bytes == 80_000

    def test_what_is_given_goes_before_the_sources_own(self):
        chosen = resolve_source("flowers", "img", Selection())
        assert (chosen.image_column, chosen.selection) == ("img", Selection())
        assert chosen.path == SOURCES["flowers"].path

    @pytest.mark.parametrize("source", [3, None, b"x"])
    def test_other_types_are_refused(self, source):
        with pytest.raises(TypeError, match="a source must be"):
            resolve_source(source)
