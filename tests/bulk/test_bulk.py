"""Bulk colorization without Ray: parts, keys, file names, output, workers, resuming."""

import hashlib
import io
import multiprocessing
import os
import signal
import tarfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import datasets
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from helpers.images import make_image
from helpers.in_process_pool import InProcessPool
from scsnet_hf.bulk import (
    ColorizerSettings,
    FolderOutput,
    Job,
    ParquetOutput,
    RayPool,
    Source,
    run_job,
    source,
)
from scsnet_hf.bulk.hub_parts import hub_parts
from scsnet_hf.bulk.output import Colorized, Counts, Failed, image_path
from scsnet_hf.bulk.parts import InputError, Part, fingerprint
from scsnet_hf.bulk.worker import MAX_CRASHES, CrashLog, Worker

COUNT = 10  # rows of every input


def png(seed: int = 0, width: int = 12, height: int = 9) -> bytes:
    file = io.BytesIO()
    make_image(width, height, seed=seed).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, files: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path: Path, images: list[bytes | None], row_group_size: int = 3) -> Path:
    rows = [None if content is None else {"bytes": content, "path": None} for content in images]
    schema = datasets.Features(image=datasets.Image()).arrow_schema
    table = pyarrow.Table.from_pydict({"image": rows}, schema)
    parquet.write_table(table, path, row_group_size=row_group_size, compression="none")
    return path


def make_folder(folder: Path) -> list[str]:
    """Images at three depths."""
    keys = [f"{'sub/' * (index % 3)}{index}.png" for index in range(COUNT)]
    for index, key in enumerate(keys):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(png(index))
    return keys


def make_tars(folder: Path) -> list[str]:
    """Two shards, with a text beside each image."""
    folder.mkdir()
    for shard in range(2):
        files = []
        for index in range(5):
            files += [(f"a/{index}.txt", b"text"), (f"a/{index}.png", png(5 * shard + index))]
        write_tar(folder / f"{shard}.tar", files)
    return [f"{index // 5}.tar/a/{index % 5}" for index in range(COUNT)]


def make_parquet(folder: Path) -> list[str]:
    """Two files, in one of which row groups and parts do not end at the same rows."""
    folder.mkdir()
    images = [png(index) for index in range(COUNT)]
    write_parquet(folder / "first.parquet", images[:3], row_group_size=1)
    write_parquet(folder / "second.parquet", images[3:], row_group_size=3)
    return [f"first.parquet/{n}" for n in range(3)] + [f"second.parquet/{n}" for n in range(7)]


LOCAL = {"folder": make_folder, "tar": make_tars, "parquet": make_parquet}


def list_parts(path, rows_per_part: int = 4, leave_out: Path = Path("nowhere"), **more):
    return Source((str(path),), **more).parts(rows_per_part, leave_out)


def images_of(parts: list[Part]) -> dict[str, bytes | str]:
    """Image, or what is wrong with it, by key; no key twice."""
    found = {}
    for part in parts:
        assert len(part.keys) == len(part)
        for index, key in enumerate(part.keys):
            assert key not in found
            try:
                found[key] = part.read(index)
            except (ValueError, OSError) as error:
                found[key] = str(error)
    return found


class TestSources:
    @pytest.mark.parametrize("kind", LOCAL)
    @pytest.mark.parametrize("rows_per_part", [1, 3, 4, 100])
    def test_every_row_is_in_one_part(self, kind, rows_per_part, tmp_path):
        keys = LOCAL[kind](tmp_path / "in")
        parts = list_parts(tmp_path / "in", rows_per_part)
        assert images_of(parts) == {key: png(index) for index, key in enumerate(keys)}
        assert max(map(len, parts)) <= rows_per_part

    @pytest.mark.parametrize("kind", LOCAL)
    def test_the_order_in_which_files_are_listed_does_not_matter(self, kind, tmp_path, monkeypatch):
        LOCAL[kind](tmp_path / "in")
        expected = list_parts(tmp_path / "in")
        find_files = source.find_files

        def find_reversed(*args):
            found = find_files(*args)
            return found._replace(paths=found.paths[::-1])

        monkeypatch.setattr(source, "find_files", find_reversed)
        assert list_parts(tmp_path / "in") == expected

    @pytest.mark.parametrize("kind", LOCAL)
    def test_the_fingerprint_does_not_depend_on_the_folder(self, kind, tmp_path):
        LOCAL[kind](tmp_path / "in")
        before = fingerprint(list_parts(tmp_path / "in"))
        (tmp_path / "in").rename(tmp_path / "elsewhere")
        assert fingerprint(list_parts(tmp_path / "elsewhere")) == before
        assert fingerprint(list_parts(tmp_path / "elsewhere", 3)) != before

    def test_another_file_changes_the_fingerprint(self, tmp_path):
        make_folder(tmp_path / "in")
        before = fingerprint(list_parts(tmp_path / "in"))
        with (tmp_path / "in" / "0.png").open("ab") as file:
            file.write(b"\0")
        assert fingerprint(list_parts(tmp_path / "in")) != before

    def test_patterns_and_lists_are_the_files_of_a_folder(self, tmp_path):
        make_parquet(tmp_path / "in")
        expected = list_parts(tmp_path / "in")
        assert list_parts(tmp_path / "in" / "*.parquet") == expected
        files = [str(tmp_path / "in" / f"{name}.parquet") for name in ("second", "first", "first")]
        assert Source(tuple(files)).parts(4, Path("nowhere")) == expected

    def test_results_inside_the_input_are_not_input(self, tmp_path):
        keys = make_folder(tmp_path / "in")
        make_folder(tmp_path / "in" / "out")
        make_folder(tmp_path / "in" / "outer")
        found = images_of(list_parts(tmp_path / "in", leave_out=tmp_path / "in" / "out"))
        assert found.keys() == {*keys, *(f"outer/{key}" for key in keys)}

    @pytest.mark.skipif(os.name == "nt", reason="file names are text there")
    def test_a_name_that_is_not_utf8_has_a_key_that_is(self, tmp_path):
        Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png")).write_bytes(png())
        assert images_of(list_parts(tmp_path)) == {r"\udcff.png": png()}

    @pytest.mark.parametrize(
        ("paths", "more", "message"),
        [
            (["nothing"], {}, "neither a folder"),
            (["nothing.tar"], {}, "no such file"),
            (["some/x.parquet"], {}, "no such file"),
            (["{in}"], {"split": "test"}, "on the Hub"),
            (["{in}"], {"image_column": "x"}, "no image column"),
            (["{in}/empty"], {}, "there are no images"),
            (["{in}/a.tar", "{in}/b.parquet"], {}, "either .parquet files or .tar"),
        ],
    )
    def test_invalid_sources_are_refused(self, paths, more, message, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "0.png").write_bytes(png())
        given_paths = tuple(path.replace("{in}", str(tmp_path)) for path in paths)
        if len(paths) > 1:
            write_tar(tmp_path / "a.tar", [])
            write_parquet(tmp_path / "b.parquet", [png()])
        with pytest.raises(ValueError, match=message):
            Source(given_paths, **more).parts(4, Path("nowhere"))

    def test_a_missing_data_set_is_refused(self):
        with pytest.raises(ValueError, match="owner/name: neither a folder here nor"):
            list_parts("owner/name")


class TestTarShards:
    def found(self, tmp_path, files, **more):
        return images_of(list_parts(write_tar(tmp_path / "s.tar", files), **more))

    def test_a_repeated_name_is_another_row(self, tmp_path):
        names = "a.png b.png a.png a#2.png a.png a.png".split()
        found = self.found(tmp_path, [(name, png(index)) for index, name in enumerate(names)])
        assert list(found.values()) == [png(index) for index in range(len(names))]
        assert list(found) == [f"s.tar/{name}" for name in "a b a#2 a#2#2 a#3 a#4".split()]

    def test_every_readable_suffix_is_an_image_but_files_of_systems_are_none(self, tmp_path):
        names = "a.jp2 b.mpo c.TGA d.ico e.j2k ._a.jp2 sub/Thumbs.db .DS_Store desktop.ini".split()
        found = self.found(tmp_path, [(name, name.encode()) for name in names])
        assert found == {f"s.tar/{name[0]}": name.encode() for name in names[:5]}

    def test_the_column_is_chosen_by_name(self, tmp_path):
        files = [("a.gray.png", png(1)), ("a.JPG", png(2)), ("a.json", b"{}")]
        assert self.found(tmp_path, files, image_column="jpg") == {"s.tar/a": png(2)}
        assert self.found(tmp_path, files, image_column="gray.png") == {"s.tar/a": png(1)}

    def test_two_images_of_a_row_need_a_choice(self, tmp_path):
        with pytest.raises(ValueError, match=r"s.tar/a: .*jpg.*choose one"):
            self.found(tmp_path, [("a.png", png()), ("a.jpg", png())])

    def test_a_row_without_an_image_fails_alone(self, tmp_path):
        found = self.found(tmp_path, [("a.png", png()), ("b.json", b"{}")])
        assert found == {"s.tar/a": png(), "s.tar/b": "the row has no image, only json"}

    @pytest.mark.parametrize("size", [1, 100, 512, 700, 1024, 4000, 4096, 4097, 5000, 8192, 8200])
    def test_rows_before_a_cut_are_used(self, tmp_path, size):
        """Eight files take up 512 bytes each, and as much for their headers."""
        images = [png(index, 4, 4) for index in range(8)]
        files = [(f"{index}.png", content) for index, content in enumerate(images)]
        path = write_tar(tmp_path / "s.tar", files)
        path.write_bytes(path.read_bytes()[:size])
        found = images_of(list_parts(path))
        whole = size // 1024
        assert [found[f"s.tar/{n}"] for n in range(whole)] == images[:whole]
        assert "cut off" in found["s.tar"]

    def test_rows_before_damage_are_used(self, tmp_path):
        path = write_tar(tmp_path / "s.tar", [(f"{n}.png", png(n, 4, 4)) for n in range(8)])
        content = bytearray(path.read_bytes())
        content[3 * 1024 : 3 * 1024 + 200] = b"\xff" * 200
        path.write_bytes(content)
        found = images_of(list_parts(path))
        assert found.keys() == {"s.tar/0", "s.tar/1", "s.tar/2", "s.tar"}
        assert "3 rows before that are used" in found["s.tar"]

    def test_a_file_that_is_not_a_tar_fails_alone(self, tmp_path):
        write_tar(tmp_path / "good.tar", [("a.png", png())])
        (tmp_path / "bad.tar").write_bytes(b"<html>")
        found = images_of(list_parts(tmp_path))
        assert found["good.tar/a"] == png()
        assert "no .tar file" in found["bad.tar"]


class TestParquetFiles:
    def test_a_row_without_an_image_fails_alone(self, tmp_path):
        path = write_parquet(tmp_path / "s.parquet", [png(0), None, png(2)])
        found = images_of(list_parts(path))
        assert found == {
            "s.parquet/0": png(0),
            "s.parquet/1": "the row has no image",
            "s.parquet/2": png(2),
        }

    def test_a_damaged_row_group_fails_alone(self, tmp_path):
        images = [png(index) for index in range(9)]
        path = write_parquet(tmp_path / "s.parquet", images)
        content = bytearray(path.read_bytes())
        column = parquet.read_metadata(path).row_group(1).column(0)
        start = column.dictionary_page_offset or column.data_page_offset
        content[start : start + 16] = b"\xff" * 16
        path.write_bytes(content)
        found = images_of(list_parts(path))
        good = {0, 1, 2, 6, 7, 8}
        assert {n for n in range(9) if found[f"s.parquet/{n}"] == images[n]} == good

    def test_a_damaged_file_fails_alone(self, tmp_path):
        write_parquet(tmp_path / "good.parquet", [png()])
        (tmp_path / "bad.parquet").write_bytes(b"PAR1")
        found = images_of(list_parts(tmp_path))
        assert found["good.parquet/0"] == png()
        assert "fetch or write it again" in found["bad.parquet"]

    def test_a_missing_file_is_no_error_of_its_rows(self, tmp_path):
        path = write_parquet(tmp_path / "s.parquet", [png()])
        (part,) = list_parts(path)
        path.unlink()
        with pytest.raises(InputError, match=r"s\.parquet: could be read when the job started"):
            part.read(0)

    def test_plain_binary_columns_are_images_too(self, tmp_path):
        table = pyarrow.table({"n": [1], "first": [b"x"], "second": [png()]})
        parquet.write_table(table, tmp_path / "s.parquet")
        found = images_of(list_parts(tmp_path / "s.parquet"))
        assert found == {"s.parquet/0": b"x"}
        found = images_of(list_parts(tmp_path / "s.parquet", image_column="second"))
        assert found == {"s.parquet/0": png()}

    @pytest.mark.parametrize("column", ["n", "missing"])
    def test_a_wrong_column_is_refused(self, tmp_path, column):
        parquet.write_table(pyarrow.table({"n": [1]}), tmp_path / "s.parquet")
        with pytest.raises(ValueError, match=rf"no column '{column}' .*n \(int64\)"):
            list_parts(tmp_path / "s.parquet", image_column=column)


class TestDataSets:
    def test_rows_are_those_of_the_split(self, tmp_path, monkeypatch):
        """`datasets` takes a folder as it takes an id."""
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        make_parquet(tmp_path / "in")
        parts = hub_parts(str(tmp_path / "in"), None, "train", 4, None)
        expected = {f"train/{index}": png(index) for index in range(COUNT)}
        assert images_of(parts) == expected
        assert [len(part) for part in parts] == [4, 4, 2]

    def test_another_version_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        make_parquet(tmp_path / "in")
        (part,) = hub_parts(str(tmp_path / "in"), None, "train", 100, None)
        older = replace(part, source=(*part.source[:-1], "older"))
        with pytest.raises(InputError, match="another version"):
            older.read(0)


COMPONENTS = st.text(st.characters(exclude_characters="/", codec="utf-8"), max_size=12) | (
    st.sampled_from(["", ".", "..", ".png", "a.png", "%", "%2E", ".scsnet-1.png", "x" * 300])
)
KEYS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)


class TestFileNames:
    @given(KEYS)
    def test_a_path_never_leads_out_of_the_folder(self, key):
        path = image_path(key)
        assert not path.is_absolute()
        assert path.suffix == ".png"
        for part in path.parts:
            assert not part.startswith(".")
            assert not set(part) & set('\\:*?"<>|\0\n')
            assert len(part.encode()) <= 255

    @given(KEYS, KEYS)
    def test_two_keys_never_share_a_path_or_need_a_file_for_a_folder(self, one, other):
        first, second = image_path(one), image_path(other)
        assert (first == second) == (one == other)
        assert first not in second.parents

    @given(st.lists(st.sampled_from(["a", "a.png", "..", "", "%2E."]), min_size=1).map("/".join))
    def test_similar_keys_differ(self, key):
        assert PurePosixPath(image_path(key)) != image_path(f"{key}/")

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("sub/a.jpg", "sub/a.jpg.png"),
            ("shard.tar/00 ü 01", "shard.tar/00 ü 01.png"),
            ("../../evil", "%2E./%2E./evil.png"),
            ("/etc/passwd", "%/etc/passwd.png"),
            (r"..\evil", r"%2E.%5Cevil.png"),
            ("x.png/y", "x%2Epng/y.png"),
        ],
    )
    def test_names_stay_as_they_are_where_that_is_safe(self, key, path):
        assert str(image_path(key)) == path


RESULTS = [
    Colorized("a", png(1), 12, 9),
    Failed("b", "bad"),
    Colorized("../c", png(2), 12, 9),
]


class TestOutput:
    def test_parquet_has_the_results(self, tmp_path):
        assert ParquetOutput(tmp_path).write(7, RESULTS) == Counts(2, 1)
        files = str(tmp_path / "images" / "*.parquet")
        table = datasets.load_dataset(
            "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
        )
        assert table["key"][:] == ["a", "../c"]
        assert [row["image"].size for row in table] == [(12, 9)] * 2
        raw = parquet.read_table(tmp_path / "images" / "000007.parquet").to_pylist()
        assert [row["image"]["bytes"] for row in raw] == [png(1), png(2)]
        assert {(row["width"], row["height"]) for row in raw} == {(12, 9)}

    def test_a_folder_has_the_results(self, tmp_path):
        assert FolderOutput(tmp_path / "out").write(0, RESULTS) == Counts(2, 1)
        files = {p.relative_to(tmp_path) for p in tmp_path.rglob("*.png")}
        assert {str(file) for file in files} == {"out/images/a.png", "out/images/%2E./c.png"}
        assert (tmp_path / "out" / "images" / "a.png").read_bytes() == png(1)

    @pytest.mark.parametrize("kind", [FolderOutput, ParquetOutput])
    def test_a_row_that_fails_later_has_no_result(self, kind, tmp_path):
        output = kind(tmp_path)
        output.write(0, [Colorized("a", png(), 12, 9)])
        output.write(0, [Failed("a", "out of memory")])
        assert not list((tmp_path / "images").iterdir())

    @pytest.mark.parametrize("kind", [FolderOutput, ParquetOutput])
    def test_a_part_is_not_finished_until_all_of_it_is(self, kind, tmp_path):
        def results():
            yield from RESULTS
            raise KeyboardInterrupt

        output = kind(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            output.write(0, results())
        assert output.counts(0) is None
        output.write(0, RESULTS)
        assert output.counts(0) == Counts(2, 1)

    def test_the_table_of_errors_has_those_of_all_parts(self, tmp_path):
        output = ParquetOutput(tmp_path)
        output.write(0, RESULTS)
        output.write(1, [Failed("d", "worse")])
        output.finish(2)
        errors = parquet.read_table(tmp_path / "errors.parquet").to_pylist()
        assert errors == [{"key": "b", "reason": "bad"}, {"key": "d", "reason": "worse"}]

    def test_what_killed_processes_left_is_removed(self, tmp_path):
        output = FolderOutput(tmp_path)
        output.write(0, RESULTS)
        (tmp_path / "images" / ".scsnet-1234.png").write_bytes(b"half")
        output.crash_log(0).write_text("{}")
        output.finish(1)
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert left == {"a.png", "c.png", "000000.json", "errors.parquet"}

    def test_another_job_is_refused(self, tmp_path):
        output = FolderOutput(tmp_path / "out")
        output.start({"scale": 2, "size": (3, 4)})
        output.start({"scale": 2, "size": (3, 4)})
        with pytest.raises(ValueError, match="started with scale 2, now 3"):
            output.start({"scale": 3, "size": (3, 4)})
        with pytest.raises(ValueError, match="luminance None, now source"):
            output.start({"scale": 2, "size": (3, 4), "luminance": "source"})

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        (tmp_path / "mine.txt").write_text("")
        with pytest.raises(ValueError, match="holds other files"):
            FolderOutput(tmp_path).start({})
        with pytest.raises(ValueError, match="holds other files"):
            FolderOutput(tmp_path / "mine.txt").start({})


class TestCrashLog:
    def crash(self, path, run, *keys):
        """Crash a worker at the last key; return whether that one was allowed."""
        log = CrashLog(path, run)
        return [log.start_row(key) for key in keys][-1]

    def test_a_row_is_skipped_after_some_crashes(self, tmp_path):
        path = tmp_path / "crashes"
        for _ in range(MAX_CRASHES):
            assert self.crash(path, "run", "a", "b")
        log = CrashLog(path, "run")
        assert [log.start_row(key) for key in "abc"] == [True, False, True]
        log.remove()
        assert CrashLog(path, "run").start_row("b")

    def test_crashes_of_other_rows_and_runs_do_not_count(self, tmp_path):
        path = tmp_path / "crashes"
        for _ in range(MAX_CRASHES - 1):
            assert self.crash(path, "run", "a")
        assert self.crash(path, "run", "a", "b")
        assert self.crash(path, "run", "a", "b")
        for number in range(MAX_CRASHES + 1):
            assert self.crash(path, f"run {number}", "a")


def read_or_die(key: str) -> bytes:
    if key == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return png()


DEADLY = Part(read_or_die, (), "", ("good", "deadly"), ("good", "deadly"))


def make_job(tiny_checkpoint, path, output, **settings) -> Job:
    arguments = {"scale": 2.0, **settings.pop("arguments", {})}
    settings = ColorizerSettings(str(tiny_checkpoint), arguments, **settings)
    return Job(Source((str(path),)), settings, output, rows_per_part=3)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


class TestWorker:
    def test_results_are_those_of_the_pipeline(self, tiny_checkpoint, tiny_pipe, tmp_path):
        keys = make_folder(tmp_path / "in")
        (tmp_path / "reference.png").write_bytes(png(99))
        reference = (tmp_path / "reference.png").read_bytes()
        run_job(
            make_job(
                tiny_checkpoint,
                tmp_path / "in",
                FolderOutput(tmp_path / "out"),
                reference=reference,
                arguments={"saturation": 2.0},
            ),
            InProcessPool(),
        )
        for key in keys:
            expected = tiny_pipe(
                str(tmp_path / "in" / key), reference=reference, scale=2.0, saturation=2.0
            )
            with Image.open(tmp_path / "out" / "images" / f"{key}.png") as result:
                assert result.tobytes() == expected.tobytes()

    def test_settings_may_name_the_number_format(self, tiny_checkpoint, tmp_path):
        make_folder(tmp_path / "in")
        for dtype in ("float32", "bfloat16"):
            output = FolderOutput(tmp_path / dtype)
            run_job(
                make_job(tiny_checkpoint, tmp_path / "in", output, dtype=dtype), InProcessPool()
            )
        own, other = (contents(tmp_path / name / "images") for name in ("float32", "bfloat16"))
        assert own.keys() == other.keys()
        assert not set(own.values()) & set(other.values())

    @pytest.mark.slow
    def test_a_row_that_kills_workers_fails_in_the_end(self, tiny_checkpoint, tmp_path):
        output = FolderOutput(tmp_path)
        settings = ColorizerSettings(str(tiny_checkpoint))
        worker = Worker(settings, output, "run", threads=1, device="cpu")
        for _ in range(MAX_CRASHES - 1):
            CrashLog(output.crash_log(0), "run").start_row("deadly")
        process = multiprocessing.get_context("spawn").Process(target=worker, args=(0, DEADLY))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert list(InProcessPool().run(worker, [(0, DEADLY)])) == [Counts(1, 1)]
        output.finish(1)
        (error,) = parquet.read_table(tmp_path / "errors.parquet").to_pylist()
        assert error == {"key": "deadly", "reason": "3 workers died while working on it"}

    def test_a_finished_part_is_not_repeated(self, tmp_path):
        output = FolderOutput(tmp_path)
        output.write(3, RESULTS)
        worker = Worker(ColorizerSettings("no such model"), output, "run", threads=1)
        assert worker(3, Part(read_or_die, (), "", (), ())) == Counts(2, 1)

    def test_full_disks_stop_the_job_and_are_no_errors_of_rows(
        self, tiny_checkpoint, tmp_path, monkeypatch
    ):
        make_folder(tmp_path / "in")

        def full(path, content):
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(Path, "write_bytes", full)
        output = FolderOutput(tmp_path / "out")
        with pytest.raises(OSError, match="No space left"):
            run_job(make_job(tiny_checkpoint, tmp_path / "in", output), InProcessPool())
        assert output.counts(0) is None


class TestJob:
    @pytest.fixture
    def source(self, tmp_path) -> Path:
        make_tars(tmp_path / "in")
        write_tar(tmp_path / "in" / "more.tar", [("../../evil.png", png()), ("bad.png", b"bad")])
        return tmp_path / "in"

    @pytest.mark.parametrize("kind", [FolderOutput, ParquetOutput])
    def test_any_order_and_any_interruption_give_the_same(
        self, kind, source, tiny_checkpoint, tmp_path
    ):
        whole, cut = kind(tmp_path / "whole"), kind(tmp_path / "cut")
        summary = run_job(make_job(tiny_checkpoint, source, whole), InProcessPool())
        assert (summary.rows, summary.done, summary.failed) == (COUNT + 2, COUNT + 1, 1)
        finished = []
        with pytest.raises(RuntimeError, match="broken"):
            run_job(
                make_job(tiny_checkpoint, source, cut), InProcessPool(lambda parts: parts[::-1], 2)
            )
        rest = InProcessPool(lambda parts: parts[::-1])
        again = run_job(
            make_job(tiny_checkpoint, source, cut),
            rest,
            lambda p: finished.append(p.done + p.failed),
        )
        assert again == summary
        assert contents(cut.folder) == contents(whole.folder)
        assert finished[0] > 0
        assert finished[-1] == COUNT + 2
        assert len(rest.started) == len(set(rest.started)) == len(finished) - 1

    def test_rows_that_fail_are_in_the_table(self, source, tiny_checkpoint, tmp_path):
        run_job(make_job(tiny_checkpoint, source, ParquetOutput(tmp_path / "out")), InProcessPool())
        (error,) = parquet.read_table(tmp_path / "out" / "errors.parquet").to_pylist()
        assert error["key"] == "more.tar/bad"
        assert "not an image" in error["reason"]
        keys = parquet.read_table(tmp_path / "out" / "images")["key"].to_pylist()
        assert len(keys) == len(set(keys)) == COUNT + 1
        assert "more.tar/../../evil" in keys

    def test_nothing_is_written_outside_the_folder(self, source, tiny_checkpoint, tmp_path):
        before = contents(tmp_path)
        output = FolderOutput(tmp_path / "a" / "b" / "out")
        run_job(make_job(tiny_checkpoint, source, output), InProcessPool())
        after = contents(tmp_path)
        assert {name for name in after if not name.startswith("a/b/out/")} == before.keys()
        assert "a/b/out/images/more.tar/%2E./%2E./evil.png" in after

    def test_a_finished_job_does_nothing(self, source, tiny_checkpoint, tmp_path):
        output = ParquetOutput(tmp_path / "out")
        summary = run_job(make_job(tiny_checkpoint, source, output), InProcessPool())
        pool = InProcessPool()
        assert run_job(make_job(tiny_checkpoint, source, output), pool) == summary
        assert pool.started == []

    def test_other_arguments_weights_and_input_are_refused(self, source, tiny_checkpoint, tmp_path):
        output = ParquetOutput(tmp_path / "out")
        run_job(make_job(tiny_checkpoint, source, output), InProcessPool())
        with pytest.raises(ValueError, match=r"scale 2\.0, now 3"):
            run_job(
                make_job(tiny_checkpoint, source, output, arguments={"scale": 3}), InProcessPool()
            )
        with pytest.raises(ValueError, match="reference None, now"):
            run_job(make_job(tiny_checkpoint, source, output, reference=png()), InProcessPool())
        with pytest.raises(ValueError, match="output ParquetOutput, now FolderOutput"):
            run_job(
                make_job(tiny_checkpoint, source, FolderOutput(tmp_path / "out")), InProcessPool()
            )
        with pytest.raises(ValueError, match=r"model [0-9a-f]+, now"):
            run_job(make_job("small", source, output), InProcessPool())
        write_tar(source / "new.tar", [("new.png", png())])
        with pytest.raises(ValueError, match=r"input 12 rows, .* now 13 rows"):
            run_job(make_job(tiny_checkpoint, source, output), InProcessPool())

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"arguments": {"scale": 99}}, "scale=99"),
            ({"arguments": {"saturation": -1}}, "saturation"),
            ({"reference": b"bad"}, "reference: .*not an image"),
        ],
    )
    def test_wrong_arguments_are_refused_before_anything_is_written(
        self, settings, message, source, tiny_checkpoint, tmp_path
    ):
        with pytest.raises(ValueError, match=message):
            run_job(
                make_job(tiny_checkpoint, source, FolderOutput(tmp_path / "out"), **settings),
                InProcessPool(),
            )
        assert not (tmp_path / "out").exists()

    def test_a_wrong_model_is_refused(self, source, tmp_path):
        with pytest.raises(ValueError, match="model nothing: cannot be loaded"):
            run_job(make_job("nothing", source, FolderOutput(tmp_path / "out")), InProcessPool())


class TestRayPool:
    @pytest.mark.parametrize(
        ("pool", "machines", "expected"),
        [
            (RayPool(), [{"CPU": 4}], (4, 0)),
            (RayPool(threads=3), [{"CPU": 8}, {"CPU": 4}, {"CPU": 2}], (3, 0)),
            (RayPool(workers=2), [{"CPU": 8}, {"CPU": 1}, {}], (3, 0)),
            (RayPool(), [{"CPU": 16, "GPU": 4}, {"CPU": 8}], (4, 1)),
            (RayPool(workers=4), [{"CPU": 16, "GPU": 2}], (8, 0.25)),
            (RayPool(workers=6), [{"CPU": 8, "GPU": 1}], (6, 0.1666)),
            (RayPool(workers=4, threads=3), [{"CPU": 16, "GPU": 2}], (5, 0.25)),
            (RayPool(device="cpu"), [{"CPU": 4, "GPU": 1}], (4, 0)),
        ],
    )
    def test_workers_are_counted_by_device(self, pool, machines, expected):
        assert pool.size(machines) == expected

    def test_without_a_place_for_workers_it_says_so(self):
        with pytest.raises(ValueError, match="no machine has so many"):
            RayPool(threads=8).size([{"CPU": 4}, {"CPU": 4}])
        with pytest.raises(ValueError, match="finds no GPU"):
            RayPool(device="cuda").size([{"CPU": 4}])

    @pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": -1}, {"device": "cuda:1"}])
    def test_wrong_arguments_are_refused(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RayPool(**wrong)
