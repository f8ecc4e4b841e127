"""Several files at once."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch
from PIL import Image

from helpers.images import make_image
from scsnet_hf.call_arguments import OutputSize
from scsnet_hf.io.image_file import ImageFile
from scsnet_hf.io.parallel import NotAloneError, automatic_jobs, is_large, run_parallel

PATIENCE = 30  # seconds until a stuck test fails
CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """PyTorch's number of threads, for this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield 6
    torch.set_num_threads(before)


def to_number(item, alone: bool) -> int:
    return int(item)


class TestDone:
    @pytest.mark.parametrize("jobs", [1, 2, 3, 20])
    def test_every_item_comes_once_with_its_result(self, jobs):
        done = run_parallel(range(10), lambda item, alone: item * item, jobs)
        assert sorted(done) == [(item, item * item) for item in range(10)]

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_nothing_to_do_is_nothing_done(self, jobs):
        assert list(run_parallel([], to_number, jobs)) == []

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_an_error_comes_once_in_place_of_a_result(self, jobs):
        done = dict(run_parallel(["1", "two", "3"], to_number, jobs, errors=(ValueError,)))
        assert (done["1"], done["3"]) == (1, 3)
        assert isinstance(done["two"], ValueError)

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_an_error_of_another_kind_is_raised(self, jobs):
        with pytest.raises(ValueError, match="two"):
            list(run_parallel(["1", "two", "3"], to_number, jobs, errors=(OSError,)))

    def test_one_job_works_in_the_thread_of_the_caller_in_order(self):
        done = list(run_parallel("cab", lambda item, alone: threading.current_thread(), 1))
        assert done == [(item, threading.current_thread()) for item in "cab"]

    def test_as_many_as_there_are_jobs_are_worked_on_at_once(self):
        together = threading.Barrier(3)
        done = run_parallel(range(6), lambda item, alone: together.wait(PATIENCE), 3)
        assert not any(isinstance(outcome, Exception) for _, outcome in done)

    def test_never_more(self):
        room = threading.Semaphore(2)

        def enter(item, alone) -> bool:
            entered = room.acquire(blocking=False)
            threading.Event().wait(0.01)
            if entered:
                room.release()
            return entered

        assert all(entered for _, entered in run_parallel(range(20), enter, 2))

    def test_no_item_is_taken_up_before_there_is_room_for_it(self):
        taken = []
        with closing(run_parallel(range(20), lambda item, alone: taken.append(item), 2)) as done:
            for number, _ in enumerate(done, 1):
                assert len(taken) <= number + 2


class TestAlone:
    def test_such_items_come_last_with_nothing_beside_them(self):
        in_progress = []

        def run(item, alone) -> tuple[int, threading.Thread]:
            if item < 2 and not alone:
                raise NotAloneError
            in_progress.append(item)
            threading.Event().wait(0.01)
            beside = len(in_progress) - 1
            in_progress.remove(item)
            return beside, threading.current_thread()

        done = list(run_parallel(range(8), run, 4))
        assert {item for item, _ in done[6:]} == {0, 1}
        assert [outcome for _, outcome in done[6:]] == [(0, threading.current_thread())] * 2

    def test_what_had_too_little_memory_beside_others_is_tried_again_alone(self):
        def run(item, alone) -> str:
            if item == "large" and not alone:
                raise MemoryError
            return "done"

        items = ["large", "a", "b"]
        assert dict(run_parallel(items, run, 2)) == dict.fromkeys(items, "done")

    def test_what_has_too_little_memory_alone_has_failed(self):
        def run(item, alone):
            raise MemoryError

        done = list(run_parallel("ab", run, 2))
        assert sorted(item for item, _ in done) == ["a", "b"]
        assert all(isinstance(outcome, MemoryError) for _, outcome in done)


class TestStopping:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_what_is_begun_is_done_and_no_more_begun(self, jobs):
        begun, ended = [], []

        def run(item, alone) -> None:
            begun.append(item)
            threading.Event().wait(0.01)
            ended.append(item)

        with closing(run_parallel(range(100), run, jobs, on_warning=lambda line: None)) as done:
            next(done)
        after = list(begun)
        assert sorted(after) == sorted(ended)
        assert len(after) <= 1 + jobs
        threading.Event().wait(0.05)
        assert begun == after

    def test_it_says_what_it_waits_for(self):
        hold, warnings = threading.Event(), []

        def run(item, alone) -> None:
            assert item == "first" or hold.wait(PATIENCE)

        def on_warning(line: str) -> None:
            warnings.append(line)
            hold.set()

        with closing(run_parallel(["first", "second"], run, 2, on_warning=on_warning)) as done:
            assert next(done) == ("first", None)
        assert "1" in warnings.pop()

    def test_ctrl_c_is_a_stop(self, ctrl_c):
        begun, ended = [], []

        def run(item, alone) -> None:
            begun.append(item)
            if item == 5:
                ctrl_c()
            threading.Event().wait(0.01)
            ended.append(item)

        with pytest.raises(KeyboardInterrupt):
            list(run_parallel(range(1000), run, 2, on_warning=lambda line: None))
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
        done = run_parallel(range(20), lambda item, alone: torch.get_num_threads(), jobs)
        assert {outcome for _, outcome in done} == {share}

    def test_what_is_done_alone_has_all(self, threads):
        def run(item, alone) -> int:
            if item == 1 and not alone:
                raise NotAloneError
            return torch.get_num_threads()

        assert dict(run_parallel(range(3), run, 2)) == {0: 3, 1: 6, 2: 3}

    @pytest.mark.parametrize("begun", [0, 1, 2, 5])
    def test_afterwards_all_is_as_before(self, threads, begun):
        with closing(run_parallel(range(5), to_number, 3)) as done:
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

    def test_a_system_that_does_not_say_which_cores_has_some(self, monkeypatch):
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        assert automatic_jobs(CPU) >= 1


class TestIsLarge:
    @pytest.mark.parametrize(
        ("source", "output_size", "large"),
        [
            ((128, 128), OutputSize(), False),
            ((512, 512), OutputSize(), False),
            ((1024, 1024), OutputSize(), True),
            ((128, 128), OutputSize(size=(8000, 8000)), True),
            ((2400, 2000), OutputSize(scale=0.5), True),
        ],
    )
    def test_images_are_by_source_and_result(self, tmp_path, source, output_size, large):
        Image.new("L", source).save(tmp_path / "in.png")
        with ImageFile(tmp_path / "in.png") as file:
            assert is_large(file, output_size.size_for(file), CPU) == large

    def test_frames_count_together(self, tmp_path):
        frames = [make_image(128, 128, "L", seed) for seed in range(20)]
        for count, large in ((3, False), (20, True)):
            path = tmp_path / f"{count}.gif"
            frames[0].save(path, save_all=True, append_images=frames[1:count])
            with ImageFile(path) as file:
                assert is_large(file, (512, 512), CPU) == large

    def test_an_accelerator_takes_larger_ones(self, tmp_path):
        Image.new("L", (1024, 1024)).save(tmp_path / "in.png")
        with ImageFile(tmp_path / "in.png") as file:
            assert not is_large(file, (4096, 4096), torch.device("cuda"))
