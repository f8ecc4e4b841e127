"""Several files at once."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import torch

from helpers.images import make_image
from scsnet_hf.io.jobs import Work
from scsnet_hf.io.parallel import automatic_jobs, done_side_by_side, is_large
from scsnet_hf.pipeline_scsnet import OutputSize

PATIENCE = 30  # seconds until a test that hangs has failed
CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """PyTorch's number of threads, for this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield 6
    torch.set_num_threads(before)


class TestDone:
    @pytest.mark.parametrize("jobs", [1, 2, 3, 20])
    def test_every_item_comes_once_with_its_result(self, jobs):
        done = done_side_by_side(range(10), lambda item: item * item, jobs)
        assert sorted(done) == [(item, item * item) for item in range(10)]

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_nothing_to_do_is_nothing_done(self, jobs):
        assert list(done_side_by_side([], str, jobs)) == []

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_an_error_comes_once_in_place_of_a_result(self, jobs):
        done = dict(done_side_by_side(["1", "two", "3"], int, jobs, errors=(ValueError,)))
        assert (done["1"], done["3"]) == (1, 3)
        assert isinstance(done["two"], ValueError)

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_an_error_of_another_kind_is_raised(self, jobs):
        with pytest.raises(ValueError, match="two"):
            list(done_side_by_side(["1", "two", "3"], int, jobs, errors=(OSError,)))

    def test_one_job_works_in_the_thread_of_the_caller_in_order(self):
        done = list(done_side_by_side("cab", lambda item: threading.current_thread(), 1))
        assert done == [(item, threading.current_thread()) for item in "cab"]

    def test_as_many_as_there_are_jobs_are_worked_on_at_once(self):
        together = threading.Barrier(3)
        done = done_side_by_side(range(6), lambda item: together.wait(PATIENCE), 3)
        assert not any(isinstance(outcome, Exception) for _, outcome in done)

    def test_never_more(self):
        room = threading.Semaphore(2)

        def enter(item) -> bool:
            entered = room.acquire(blocking=False)
            threading.Event().wait(0.01)
            if entered:
                room.release()
            return entered

        assert all(entered for _, entered in done_side_by_side(range(20), enter, 2))

    def test_no_item_is_taken_up_before_there_is_room_for_it(self):
        taken = []
        with closing(done_side_by_side(range(20), taken.append, 2)) as done:
            for number, _ in enumerate(done, 1):
                assert len(taken) <= number + 2


class TestAlone:
    def test_such_items_come_last_with_nothing_beside_them(self):
        under_way = []

        def do(item) -> tuple[int, threading.Thread]:
            under_way.append(item)
            threading.Event().wait(0.01)
            beside = len(under_way) - 1
            under_way.remove(item)
            return beside, threading.current_thread()

        done = list(done_side_by_side(range(8), do, 4, alone=lambda item: item < 2))
        assert [item for item, _ in done[6:]] == [0, 1]
        assert [outcome for _, outcome in done[6:]] == [(0, threading.current_thread())] * 2

    def test_what_had_too_little_memory_beside_others_is_tried_again_alone(self):
        def do(item) -> str:
            if item == "large" and threading.current_thread() is not threading.main_thread():
                raise MemoryError
            return "done"

        items = ["large", "a", "b"]
        assert dict(done_side_by_side(items, do, 2)) == dict.fromkeys(items, "done")

    def test_what_has_too_little_memory_alone_has_failed(self):
        def do(item):
            raise MemoryError

        done = list(done_side_by_side("ab", do, 2))
        assert sorted(item for item, _ in done) == ["a", "b"]
        assert all(isinstance(outcome, MemoryError) for _, outcome in done)


class TestStopping:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_what_is_begun_is_done_and_no_more_begun(self, jobs):
        begun, ended = [], []

        def do(item) -> None:
            begun.append(item)
            threading.Event().wait(0.01)
            ended.append(item)

        with closing(done_side_by_side(range(100), do, jobs, remark=lambda line: None)) as done:
            next(done)
        after = list(begun)
        assert sorted(after) == sorted(ended)
        assert len(after) <= 1 + jobs
        threading.Event().wait(0.05)
        assert begun == after

    def test_it_is_said_what_is_waited_for(self):
        hold, remarks = threading.Event(), []

        def do(item) -> None:
            assert item == "first" or hold.wait(PATIENCE)

        def remark(line: str) -> None:
            remarks.append(line)
            hold.set()

        with closing(done_side_by_side(["first", "second"], do, 2, remark=remark)) as done:
            assert next(done) == ("first", None)
        assert "1" in remarks.pop()

    def test_ctrl_c_is_a_stop(self, ctrl_c):
        begun, ended = [], []

        def do(item) -> None:
            begun.append(item)
            if item == 5:
                ctrl_c()
            threading.Event().wait(0.01)
            ended.append(item)

        with pytest.raises(KeyboardInterrupt):
            list(done_side_by_side(range(1000), do, 2, remark=lambda line: None))
        assert 6 <= len(begun) < 1000
        assert sorted(begun) == sorted(ended)

    @pytest.fixture
    def ctrl_c(self):
        """What presses it; programs that a shell starts in the background would ignore it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        signal.signal(signal.SIGINT, before)


class TestThreads:
    @pytest.mark.parametrize(("jobs", "share"), [(2, 3), (4, 1), (8, 1)])
    def test_each_job_has_its_share(self, threads, jobs, share):
        done = done_side_by_side(range(20), lambda item: torch.get_num_threads(), jobs)
        assert {outcome for _, outcome in done} == {share}

    def test_what_is_done_alone_has_all(self, threads):
        done = done_side_by_side(
            range(3), lambda item: torch.get_num_threads(), 2, alone=lambda item: item == 1
        )
        assert dict(done) == {0: 3, 1: 6, 2: 3}

    @pytest.mark.parametrize("begun", [0, 1, 2, 5])
    def test_afterwards_all_is_as_before(self, threads, begun):
        with closing(done_side_by_side(range(5), str, 3)) as done:
            for _ in range(begun):
                next(done)
        assert torch.get_num_threads() == threads
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == threads


class TestAutomaticJobs:
    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_there_are_no_more_than_cores(self, monkeypatch, device):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
        assert automatic_jobs(torch.device(device)) == 1

    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_there_are_a_few_on_many_cores(self, monkeypatch, device):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
        assert 2 <= automatic_jobs(torch.device(device)) <= 4

    def test_a_system_that_does_not_tell_which_cores_has_some(self, monkeypatch):
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        assert automatic_jobs(CPU) >= 1


class TestIsLarge:
    @pytest.fixture
    def work(self, tmp_path):
        return Work(tmp_path / "in.png", tmp_path / "out.png")

    @pytest.mark.parametrize(
        ("source", "output_size", "large"),
        [
            ((128, 128), OutputSize(), False),
            ((512, 512), OutputSize(), False),
            ((1024, 1024), OutputSize(), True),
            ((128, 128), OutputSize(size=(8000, 8000)), True),
            ((4000, 2000), OutputSize(scale=0.5), True),
        ],
    )
    def test_images_are_by_source_and_result(self, work, source, output_size, large):
        make_image(*source, "L").save(work.source)
        assert is_large(work, output_size, CPU) == large

    def test_frames_count_together(self, tmp_path):
        work = Work(tmp_path / "in.gif", tmp_path / "out.png")
        frames = [make_image(128, 128, "L", seed) for seed in range(20)]
        for count, large in ((3, False), (20, True)):
            frames[0].save(work.source, save_all=True, append_images=frames[1:count])
            assert is_large(work, OutputSize(), CPU) == large

    def test_an_accelerator_takes_larger_ones(self, work):
        make_image(1024, 1024, "L").save(work.source)
        assert not is_large(work, OutputSize(), torch.device("cuda"))

    def test_videos_are(self):
        assert is_large(Work(Path("a.mp4"), Path("b.mp4")), OutputSize(), CPU)

    def test_what_cannot_be_read_is_not(self, work):
        assert not is_large(work, OutputSize(), CPU)
        work.source.write_bytes(b"no image")
        assert not is_large(work, OutputSize(), CPU)
