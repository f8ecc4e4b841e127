"""FID, KID and the networks whose features they compare."""

import hashlib
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.images import make_image
from scsnet_hf.metrics import (
    FeatureNetwork,
    FeatureStatistics,
    compute_statistics,
    frechet_distance,
    kernel_distance,
    metric,
)
from scsnet_hf.training.vgg import VGG16Features

EXAMPLES = Path(__file__).parent.parent.parent / "space" / "examples"


class Grid(nn.Module):
    """Features of an image: mean levels of 2x2 fields."""

    num_features = 12

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(levels.float() / 64, 2).flatten(1)


def patches(name: str, count: int) -> np.ndarray:
    """Cuts of a photograph, (N, 32, 32, 3)."""
    photograph = np.array(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB").resize((192, 160)))
    rng = np.random.default_rng(0)
    corners = zip(rng.integers(0, 128, count), rng.integers(0, 160, count), strict=True)
    return np.stack([photograph[y : y + 32, x : x + 32] for y, x in corners])


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray]:
    return patches("astronaut", 50), patches("chelsea", 40)


@pytest.fixture
def compute(tmp_path):
    def run(name: str, predictions, references=None, network=Grid(), **options) -> dict:  # noqa: B008
        return metric(name, cache_dir=str(tmp_path)).compute(
            predictions=predictions, references=references, network=network, **options
        )

    return run


def update(judge, predictions: np.ndarray, references: np.ndarray) -> None:
    for images, real in ((predictions, False), (references, True)):
        judge.update(torch.tensor(images).permute(0, 3, 1, 2), real=real)


def random_features(count: int, dimensions: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dimensions, dimensions))
    return rng.normal(size=(count, dimensions)) @ mixing + rng.normal(size=dimensions)


class TestStatistics:
    def test_agree_with_numpy_however_batches_are_cut(self):
        features = random_features(31, 7, seed=0) + 1e4  # sums of squares would lose digits
        for size in (1, 4, 31):
            batches = (features[start : start + size] for start in range(0, 31, size))
            statistics = compute_statistics(batches, "it")
            np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(
                statistics.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-9
            )
            assert (statistics.network, statistics.count) == ("it", 31)

    def test_come_back_from_a_file(self, tmp_path):
        statistics = compute_statistics([random_features(9, 4, seed=0)], "it")
        statistics.save(tmp_path / "statistics")
        loaded = FeatureStatistics.load(tmp_path / "statistics")
        assert (loaded.mean == statistics.mean).all()
        assert (loaded.covariance == statistics.covariance).all()
        assert (loaded.network, loaded.count) == ("it", 9)

    def test_are_read_without_name_and_count(self, tmp_path):
        np.savez(tmp_path / "other.npz", mu=np.zeros(2), sigma=np.eye(2))
        loaded = FeatureStatistics.load(tmp_path / "other.npz")
        assert (loaded.network, loaded.count) == ("", 0)

    def test_of_other_files_are_refused(self, tmp_path):
        (tmp_path / "text").write_text("no arrays")
        (tmp_path / "empty").touch()
        (tmp_path / "cut").write_bytes(b"PK\x03\x04")
        np.savez(tmp_path / "keys", mu=np.zeros(2))
        np.savez(tmp_path / "shapes", mu=np.zeros(2), sigma=np.eye(3))
        np.save(tmp_path / "array", np.zeros(2))
        for name in ("absent", "text", "empty", "cut", "keys.npz", "shapes.npz", "array.npy"):
            with pytest.raises(ValueError, match=f"{name}: not an .npz file with mu"):
                FeatureStatistics.load(tmp_path / name)

    def test_take_two_finite_rows(self):
        with pytest.raises(ValueError, match="at least 2 images, got 1"):
            compute_statistics([np.zeros((1, 3))])
        with pytest.raises(ValueError, match="not finite"):
            compute_statistics([np.full((2, 3), np.nan)])


class TestFrechetDistance:
    @pytest.mark.parametrize("count", [200, 6])  # full rank, and fewer images than dimensions
    def test_agrees_with_the_formula(self, count):
        first, second = (random_features(count, 12, seed=seed) for seed in range(2))
        covariances = [np.cov(features, rowvar=False) for features in (first, second)]
        squares = np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)
        root_trace = np.sqrt(squares).real.sum()
        expected = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
        expected += np.trace(covariances[0] + covariances[1]) - 2 * root_trace
        distance = frechet_distance(compute_statistics([first]), compute_statistics([second]))
        assert distance == pytest.approx(expected, rel=1e-6)

    def test_of_known_distributions(self):
        def normal(mean: list[float], variances: list[float]) -> FeatureStatistics:
            return FeatureStatistics(np.array(mean), np.diag(variances))

        # Of diagonal covariances: (m1 - m2)^2 + (s1 - s2)^2, summed.
        known = frechet_distance(normal([0, 1], [1, 9]), normal([3, 1], [4, 1]))
        assert known == pytest.approx(9 + 1 + 4)
        assert frechet_distance(normal([0], [0]), normal([2], [0])) == 4

    def test_of_itself_is_zero(self):
        statistics = compute_statistics([random_features(50, 64, seed=0)])
        assert frechet_distance(statistics, statistics) == pytest.approx(0, abs=1e-8)

    def test_of_other_networks_is_refused(self):
        one, other = (FeatureStatistics(np.zeros(2), np.eye(2), name) for name in ("one", "other"))
        with pytest.raises(ValueError, match="different networks, one and other"):
            frechet_distance(one, other)
        with pytest.raises(ValueError, match="2 and 3 dimensions"):
            frechet_distance(one, FeatureStatistics(np.zeros(3), np.eye(3)))


class TestFid:
    @pytest.mark.slow
    def test_agrees_with_torchmetrics(self, compute, sets):
        from torchmetrics.image.fid import FrechetInceptionDistance

        judge = FrechetInceptionDistance(feature=Grid())
        update(judge, *sets)
        result = compute("fid", *sets)
        assert result["network"] == "Grid"
        assert result["fid"] == pytest.approx(judge.compute().item(), abs=1e-4)

    def test_of_equal_sets_is_zero(self, compute, sets):
        assert compute("fid", sets[0], sets[0][::-1])["fid"] == pytest.approx(0, abs=1e-8)

    def test_of_a_shift_is_its_square(self, compute):
        levels = np.random.default_rng(0).integers(0, 100, (20, 4, 4, 3), dtype=np.uint8)
        result = compute("fid", levels, levels + np.uint8(64))  # 1 in each of 12 features
        assert result["fid"] == pytest.approx(12, abs=1e-6)

    def test_does_not_depend_on_batches(self, compute, sets, tmp_path):
        expected = compute("fid", *sets)["fid"]
        assert compute("fid", *sets, batch_size=1)["fid"] == pytest.approx(expected, abs=1e-9)
        streaming = metric("fid", cache_dir=str(tmp_path))
        streaming.add_batch(references=sets[1][:30])
        for image in sets[0]:
            streaming.add(prediction=image)
        streaming.add_batch(references=sets[1][30:])
        assert streaming.compute(network=Grid())["fid"] == pytest.approx(expected, abs=1e-9)

    def test_compares_with_saved_statistics(self, compute, sets, tmp_path):
        network = FeatureNetwork.load(Grid())
        statistics = compute_statistics(network.features(sets[1]), network.name)
        statistics.save(tmp_path / "references.npz")
        expected = compute("fid", *sets)
        for given in (tmp_path / "references.npz", statistics):
            assert compute("fid", sets[0], reference_statistics=given) == expected
        with pytest.raises(ValueError, match="not both"):
            compute("fid", *sets, reference_statistics=statistics)

    def test_takes_two_images_of_each_set(self, compute, sets):
        with pytest.raises(ValueError, match="fid takes at least 2 references, got 0"):
            compute("fid", sets[0])
        with pytest.raises(ValueError, match="fid takes at least 2 predictions, got 1"):
            compute("fid", sets[0][:1], sets[1])


class TestKid:
    @pytest.mark.slow
    def test_agrees_with_torchmetrics(self, compute, sets):
        from torchmetrics.image.kid import KernelInceptionDistance

        sets = sets[0][:40], sets[1]
        judge = KernelInceptionDistance(feature=Grid(), subsets=1, subset_size=40)
        update(judge, *sets)
        expected = judge.compute()[0].item()
        assert compute("kid", *sets)["kid"] == pytest.approx(expected, abs=1e-4)
        whole = compute("kid", *sets, subset_size=40, subsets=2)
        assert whole["kid"] == pytest.approx(expected, abs=1e-4)
        assert whole["kid_std"] == pytest.approx(0, abs=1e-9)

    def test_agrees_with_the_sum_over_pairs(self):
        first, second = random_features(5, 3, seed=0), random_features(7, 3, seed=1)

        def mean(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
            return math.fsum((x @ y / 3 + 1) ** 3 for x, y in pairs) / len(pairs)

        within = [
            mean([(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])
            for rows in (first, second)
        ]
        between = mean([(x, y) for x in first for y in second])
        expected = sum(within) - 2 * between
        assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)

    def test_of_known_features(self):
        """Kernel values: 1 of (0, 0), 8 of (1, 1) and 1 of (0, 1)."""
        assert kernel_distance(np.zeros((2, 1)), np.ones((3, 1))) == pytest.approx(1 + 8 - 2)

    def test_is_unbiased(self):
        rng = np.random.default_rng(0)
        distances = [kernel_distance(*rng.normal(size=(2, 8, 4))) for _ in range(400)]
        assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(len(distances))
        assert min(distances) < 0

    def test_does_not_depend_on_blocks(self):
        first, second = random_features(9, 3, seed=0), random_features(7, 3, seed=1)
        expected = kernel_distance(first, second)
        assert kernel_distance(first, second, block_rows=2) == pytest.approx(expected, rel=1e-12)

    def test_of_subsets_follows_the_seed(self, compute, sets):
        options = {"subset_size": 20, "subsets": 50}
        first, again, other = (compute("kid", *sets, **options, seed=seed) for seed in (0, 0, 1))
        assert first == again
        assert first["kid"] != other["kid"]
        error = first["kid_std"] / np.sqrt(50)
        assert first["kid"] == pytest.approx(compute("kid", *sets)["kid"], abs=5 * error)

    def test_refuses_subsets_that_cannot_be(self, compute, sets):
        for options in ({"subset_size": 41}, {"subset_size": 1}, {"subset_size": 9, "subsets": 0}):
            with pytest.raises(ValueError, match="one subset of 2 to 40 images"):
                compute("kid", *sets, **options)

    def test_refuses_other_features(self):
        with pytest.raises(ValueError, match=r"accepted are \(M, D\) and \(N, D\)"):
            kernel_distance(np.zeros((3, 2)), np.zeros((3, 4)))
        with pytest.raises(ValueError, match="at least 2 images of each set, got 1 and 3"):
            kernel_distance(np.zeros((1, 2)), np.zeros((3, 2)))

    def test_takes_two_sets(self, compute, sets):
        with pytest.raises(ValueError, match="kid takes at least 2 references, got 0"):
            compute("kid", sets[0])


class Scripted(nn.Module):
    """What the TorchScript file of Inception answers to, in small."""

    def forward(self, levels: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        means = levels.mean(dim=(2, 3))
        return means if return_features else means.softmax(dim=1)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory) -> tuple[Path, str]:
    """A TorchScript file and its hash."""
    path = tmp_path_factory.mktemp("weights") / "scripted.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(Scripted()).save(str(path))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.filterwarnings("ignore:`torch.jit")
class TestNetworks:
    def test_of_other_names_are_refused(self):
        with pytest.raises(ValueError, match="accepted are inception and vgg16, or a callable"):
            FeatureNetwork.load("resnet")

    def test_take_images_of_any_size(self):
        seen = []

        def network(levels: torch.Tensor) -> torch.Tensor:
            seen.append((levels.dtype, tuple(levels.shape)))
            return levels.double().mean(dim=(2, 3))

        sides = (4, 4, 4, 6, 4)
        images = [np.full((side, side, 3), index, np.uint8) for index, side in enumerate(sides)]
        loaded = FeatureNetwork.load(network)
        features = np.concatenate(list(loaded.features(images, batch_size=2)))
        assert loaded.name == "network"
        assert (features == np.arange(5)[:, None]).all()
        shapes = [(2, 3, 4, 4), (1, 3, 4, 4), (1, 3, 6, 6), (1, 3, 4, 4)]
        assert seen == [(torch.uint8, shape) for shape in shapes]

    def test_that_return_maps_are_refused(self):
        loaded = FeatureNetwork.load(lambda levels: levels)
        with pytest.raises(ValueError, match=r"accepted is \(B, D\)"):
            list(loaded.features([np.zeros((4, 4, 3), np.uint8)]))

    def test_of_vgg16_are_means_of_conv5_1(self, tmp_path):
        from safetensors.torch import save_file

        torch.manual_seed(0)
        vgg = VGG16Features()
        save_file(vgg.state_dict(), tmp_path / "vgg.safetensors")
        image = np.array(make_image(32, 48))
        loaded = FeatureNetwork.load("vgg16", weights=tmp_path / "vgg.safetensors")
        (features,) = loaded.features([image])
        expected = vgg(torch.tensor(image).permute(2, 0, 1)[None] / 255)[-1].mean(dim=(2, 3))
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
        assert features.shape == (1, 512)
        named = FeatureNetwork.from_option(f"vgg16={tmp_path / 'vgg.safetensors'}")
        (again,) = named.features([image])
        assert (named.name, again.tolist()) == (loaded.name, features.tolist())
        with pytest.raises(ValueError, match="has SHA-256"):
            FeatureNetwork.load("vgg16", tmp_path / "vgg.safetensors", sha256="0" * 64)

    def test_of_inception_come_from_a_file(self, scripted, compute):
        path, digest = scripted
        images = [np.array(make_image(8 + seed, 8, seed=seed)) for seed in range(4)]
        loaded = FeatureNetwork.load("inception", path, digest.upper())
        features = np.concatenate(list(loaded.features(images)))
        expected = [image.mean(axis=(0, 1)) for image in images]
        np.testing.assert_allclose(features, expected, rtol=1e-5)
        result = compute("fid", images, images, "inception", weights=str(path), sha256=digest)
        assert result == {"fid": pytest.approx(0, abs=1e-6), "network": "inception"}

    def test_of_inception_are_only_those_of_the_known_hash(self, scripted, tmp_path):
        with pytest.raises(ValueError, match=f"has SHA-256 {scripted[1]}, not f58cb9b6"):
            FeatureNetwork.load(weights=scripted[0])
        with pytest.raises(ValueError, match=r"absent\.pt: no such file"):
            FeatureNetwork.load(weights=tmp_path / "absent.pt")

    def test_of_inception_are_downloaded_once(self, scripted, monkeypatch, tmp_path):
        path, digest = scripted
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        url = path.as_uri()
        FeatureNetwork.load(weights=url, sha256=digest)
        assert (tmp_path / "checkpoints" / path.name).read_bytes() == path.read_bytes()
        monkeypatch.setattr(torch.hub, "download_url_to_file", pytest.fail)
        FeatureNetwork.load(weights=url, sha256=digest)

    def test_of_inception_without_network_connection_say_what_to_do(
        self, scripted, monkeypatch, tmp_path
    ):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        with pytest.raises(ValueError, match=r"cannot be downloaded from file:.*pass its path"):
            FeatureNetwork.load(weights=(tmp_path / "absent.pt").as_uri())
        with pytest.raises(ValueError, match="invalid hash"):
            FeatureNetwork.load(weights=scripted[0].as_uri())  # that of another file
        assert not list((tmp_path / "checkpoints").iterdir())
