"""Which checkpoint of a run is complete, and what is left when writing one fails."""

import errno
import os

import pytest

from scsnet_hf.training.checkpoints import (
    checkpoint_folder,
    is_complete,
    last_complete_checkpoint,
    mark_complete,
    remove_on_failure,
)

FILES = {"model.safetensors": 300, "optimizer.pt": 500, "average/model.safetensors": 300}


def write_files(folder, files=FILES) -> None:
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))


def write_checkpoint(run, step: int):
    folder = checkpoint_folder(run, step)
    write_files(folder)
    mark_complete(folder)
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(tmp_path, 10)


class TestComplete:
    def test_all_that_was_written_is_there(self, checkpoint):
        assert is_complete(checkpoint)

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("size", [0, 1, 299])
    def test_with_a_file_cut_off_it_is_not(self, checkpoint, name, size):
        os.truncate(checkpoint / name, size)
        assert not is_complete(checkpoint)

    @pytest.mark.parametrize("name", FILES)
    def test_without_a_file_it_is_not(self, checkpoint, name):
        (checkpoint / name).unlink()
        assert not is_complete(checkpoint)

    def test_without_its_list_it_is_not(self, tmp_path):
        folder = checkpoint_folder(tmp_path, 10)
        write_files(folder)
        assert not is_complete(folder)

    def test_with_its_list_cut_off_it_is_not(self, checkpoint):
        before = set(checkpoint.rglob("*"))
        (list_file,) = (
            path
            for path in before
            if path.is_file() and str(path.relative_to(checkpoint)) not in FILES
        )
        content = list_file.read_bytes()
        for length in range(len(content.rstrip())):
            list_file.write_bytes(content[:length])
            assert not is_complete(checkpoint)

    def test_a_folder_that_is_not_there_is_not(self, tmp_path):
        assert not is_complete(tmp_path / "nothing")

    def test_more_files_do_no_harm(self, checkpoint):
        (checkpoint / "notes.txt").write_text("more")
        assert is_complete(checkpoint)

    def test_it_still_is_in_another_place(self, checkpoint, tmp_path):
        assert is_complete(checkpoint.rename(tmp_path / "moved"))

    def test_it_can_be_marked_again(self, checkpoint):
        write_files(checkpoint, {"optimizer.pt": 700, "more.pt": 1})
        mark_complete(checkpoint)
        assert is_complete(checkpoint)
        (checkpoint / "more.pt").unlink()
        assert not is_complete(checkpoint)

    def test_nothing_temporary_is_left(self, checkpoint):
        files = [path for path in checkpoint.rglob("*") if path.is_file()]
        assert len(files) == len(FILES) + 1


class TestLastComplete:
    @pytest.mark.parametrize("steps", [(9, 10, 100), (100, 10, 9), (10, 100, 9)])
    def test_the_highest_step_wins_whatever_the_order_of_names_and_of_writing(
        self, tmp_path, steps
    ):
        for age, step in enumerate(steps):
            folder = write_checkpoint(tmp_path, step)
            os.utime(folder, (age, age))
        assert last_complete_checkpoint(tmp_path) == checkpoint_folder(tmp_path, 100)

    def test_incomplete_ones_are_passed_over(self, tmp_path):
        for step in (5, 10, 15, 20):
            write_checkpoint(tmp_path, step)
        os.truncate(checkpoint_folder(tmp_path, 20) / "optimizer.pt", 100)
        (checkpoint_folder(tmp_path, 15) / "model.safetensors").unlink()
        assert last_complete_checkpoint(tmp_path) == checkpoint_folder(tmp_path, 10)

    def test_of_incomplete_ones_there_is_none(self, tmp_path):
        write_files(checkpoint_folder(tmp_path, 10))
        assert last_complete_checkpoint(tmp_path) is None

    @pytest.mark.parametrize("name", ["", "not/yet/there"])
    def test_of_a_run_without_checkpoints_there_is_none(self, tmp_path, name):
        assert last_complete_checkpoint(tmp_path / name) is None

    @pytest.mark.parametrize(
        "name", ["checkpoint-best", "checkpoint-20-old", "checkpoint-", "my-checkpoint-20"]
    )
    def test_other_folders_are_passed_over(self, checkpoint, tmp_path, name):
        write_files(tmp_path / name)
        mark_complete(tmp_path / name)
        assert last_complete_checkpoint(tmp_path) == checkpoint

    def test_a_file_of_such_a_name_is_passed_over(self, checkpoint, tmp_path):
        (tmp_path / "checkpoint-20").write_text("no folder")
        assert last_complete_checkpoint(tmp_path) == checkpoint

    def test_a_path_may_be_a_string(self, checkpoint, tmp_path):
        assert last_complete_checkpoint(str(tmp_path)) == checkpoint


class TestFailureWhileWriting:
    FULL = OSError(errno.ENOSPC, "No space left on device")

    def fail(self, folder, error=FULL, **options):
        with remove_on_failure(folder, **options):
            write_files(folder, {"model.safetensors": 100})
            raise error

    def test_without_one_nothing_happens(self, tmp_path):
        folder = checkpoint_folder(tmp_path, 20)
        with remove_on_failure(folder):
            write_files(folder)
            mark_complete(folder)
        assert last_complete_checkpoint(tmp_path) == folder

    def test_the_remains_are_removed(self, tmp_path):
        folder = checkpoint_folder(tmp_path, 20)
        with pytest.raises(OSError, match="checkpoint-20 could not be written"):
            self.fail(folder)
        assert not folder.exists()

    def test_the_reason_and_the_last_complete_one_are_named(self, checkpoint, tmp_path):
        with pytest.raises(OSError, match=f"No space left.*{checkpoint}$") as raised:
            self.fail(checkpoint_folder(tmp_path, 20))
        assert raised.value.__cause__ is self.FULL

    def test_it_is_said_if_there_is_none(self, tmp_path):
        with pytest.raises(OSError, match="there is none before it"):
            self.fail(checkpoint_folder(tmp_path, 20))

    def test_a_full_disk_keeps_the_earlier_checkpoint(self, checkpoint, tmp_path):
        with pytest.raises(OSError):
            self.fail(checkpoint_folder(tmp_path, 20))
        assert last_complete_checkpoint(tmp_path) == checkpoint

    def test_so_it_does_if_only_the_list_is_missing_yet(self, checkpoint, tmp_path, monkeypatch):
        folder = checkpoint_folder(tmp_path, 20)

        def full(*args, **kwargs):
            raise self.FULL

        with pytest.raises(OSError, match="No space left"), remove_on_failure(folder):
            write_files(folder)
            with monkeypatch.context() as patch:
                patch.setattr("pathlib.Path.write_text", full)
                mark_complete(folder)
        assert not folder.exists()
        assert last_complete_checkpoint(tmp_path) == checkpoint

    @pytest.mark.parametrize("error", [RuntimeError("file write failed"), ValueError("odd")])
    def test_whatever_goes_wrong_is_an_oserror(self, tmp_path, error):
        with pytest.raises(OSError, match=str(error)):
            self.fail(checkpoint_folder(tmp_path, 20), error)

    def test_a_failure_before_the_first_file_is_told_as_well(self, tmp_path):
        with (
            pytest.raises(OSError, match="No space left"),
            remove_on_failure(checkpoint_folder(tmp_path, 20)),
        ):
            raise self.FULL

    def test_the_run_can_be_stopped_meanwhile(self, checkpoint, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            self.fail(checkpoint_folder(tmp_path, 20), KeyboardInterrupt())
        assert last_complete_checkpoint(tmp_path) == checkpoint

    def test_only_the_main_process_removes(self, tmp_path):
        folder = checkpoint_folder(tmp_path, 20)
        with pytest.raises(OSError, match="No space left"):
            self.fail(folder, is_main=False)
        assert (folder / "model.safetensors").exists()
