"""Neighbours: laws against brute force, and one answer from every library that is present."""

import subprocess
import sys

import pytest
import torch
from scipy.spatial import cKDTree

from geoflow.geometry import neighbors
from geoflow.geometry.metrics import chamfer_distance
from geoflow.geometry.neighbors import BACKENDS, ENVIRONMENT, chamfer, fps, knn, radius
from geoflow.geometry.neighbors.plain import Plain
from geoflow.testing import random_rotations, rotate_points
from geoflow_cli import main

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Every backend in turn, forced."""
    if reason := neighbors.missing(request.param):
        pytest.skip(reason)
    monkeypatch.setenv(ENVIRONMENT, request.param)
    return request.param


@pytest.fixture
def broken(monkeypatch):
    """A backend that finds the second nearest, and samples in the order of the file."""

    class Broken(Plain):
        def nearest(self, points, queries, k):
            squared = (queries[:, :, None] - points[:, None]).square().sum(-1)
            return squared.argsort(-1)[..., 1 : k + 1]

        def within(self, points, queries, k, radius):
            return self.nearest(points, queries, k)

        def farthest(self, points, num):
            return torch.arange(num).expand(len(points), num)

    monkeypatch.setitem(BACKENDS, "broken", Broken())
    monkeypatch.setenv(ENVIRONMENT, "broken")


def grid(side=6, dtype=torch.float32):
    """A grid and a copy of it: everything is tied."""
    axis = torch.arange(side, dtype=dtype) * 0.1
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    return torch.cat([points, points.flip(1)], 1)


CLOUDS = {
    "few": lambda dtype: torch.randn(3, 20, 3, dtype=dtype),
    "many": lambda dtype: torch.randn(2, 300, 3, dtype=dtype),
    "grid": lambda dtype: grid(dtype=dtype),
    "one place": lambda dtype: torch.ones(1, 150, 3, dtype=dtype),
    "far away": lambda dtype: 1000 + torch.randn(1, 200, 3, dtype=dtype),
}


def brute_force(points, queries):
    """Distances and indices of all points, in order."""
    x, y, z = (queries[:, :, None] - points[:, None]).unbind(-1)
    squared, indices = (x * x + y * y + z * z).sort(dim=-1, stable=True)
    return squared.sqrt(), indices


def assert_agrees(points, queries):
    """All operations against brute force, indices exactly."""
    distances, indices = brute_force(points, queries)
    for k in (1, 7, points.shape[1]):
        found = knn(points, queries, k)
        assert torch.equal(found.indices, indices[..., :k])
        assert torch.equal(found.distances, distances[..., :k])
    reach = float(distances[..., 5].median())
    for most in (3, points.shape[1] + 2):
        inside = torch.nn.functional.pad(
            indices.masked_fill(distances > reach, -1), (0, 2), value=-1
        )
        found = radius(points, queries, reach, most)
        assert torch.equal(found.indices, inside[..., :most])
        assert torch.equal(found.counts, (inside[..., :most] >= 0).sum(-1))
    torch.testing.assert_close(
        chamfer(points, queries),
        (distances[..., 0].mean(1) + brute_force(queries, points)[0][..., 0].mean(1)) / 2,
    )


def greedy(points, num, start):
    """Farthest points of one cloud, by the definition."""
    chosen = [start]
    for _ in range(num - 1):
        best = brute_force(points[None, chosen], points[None])[0][0, :, 0].square()
        best[chosen] = -1
        chosen.append(int(best.argmax()))
    return chosen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_backend_gives_the_one_answer(backend, cloud, dtype):
    points = CLOUDS[cloud](dtype)
    mixed = torch.cat([points[:, ::3] + 0.05, points[:, :5]], 1)
    assert_agrees(points, mixed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_backend_samples_the_same_farthest_points(backend, cloud, dtype):
    points = CLOUDS[cloud](dtype)
    for start in (0, 4):
        found = fps(points, 20, start)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENVIRONMENT, "plain")
            assert torch.equal(found, fps(points, 20, start))
        assert found.sort(-1).values.diff().min() > 0


def test_farthest_points_are_greedy(backend):
    points = torch.randn(2, 60, 3, dtype=torch.float64)
    for start in (0, 11):
        assert fps(points, 60, start).tolist() == [greedy(p, 60, start) for p in points]


@pytest.mark.usefixtures("broken")
def test_a_backend_that_finds_others_is_noticed():
    points = torch.randn(2, 20, 3)
    with pytest.raises(AssertionError):
        assert_agrees(points, points[:, :7] + 0.05)
    assert fps(points, 9).tolist() != [greedy(p, 9, 0) for p in points]


def test_answers_are_those_of_the_metrics_and_of_scipy(backend):
    a, b = torch.randn(2, 2, 500, 3, dtype=torch.float64)
    expected = [chamfer_distance(*(x.numpy() for x in pair)) for pair in zip(a, b, strict=True)]
    torch.testing.assert_close(chamfer(a, b), torch.tensor(expected, dtype=torch.float64))
    reach, found = cKDTree(a[1].numpy()).query(b[1].numpy(), 4)
    ours = knn(a, b, 4)
    torch.testing.assert_close(ours.distances[1], torch.from_numpy(reach))
    assert ours.indices[1].tolist() == found.tolist()


def test_points_may_be_permuted_and_rotated(backend):
    points, queries = torch.randn(2, 1, 150, 3, dtype=torch.float64)
    order = torch.randperm(150)
    moved = knn(points[:, order], queries, 5)
    assert torch.equal(order[moved.indices], knn(points, queries, 5).indices)
    turn = random_rotations(1)
    for value in (lambda p, q: knn(p, q, 5).distances, chamfer):
        torch.testing.assert_close(
            value(rotate_points(points, turn), rotate_points(queries, turn)), value(points, queries)
        )
    stretched = points * torch.tensor([1.0, 2.0, 1.0])
    assert not torch.allclose(chamfer(stretched, queries), chamfer(points, queries))


@pytest.mark.parametrize("value", [lambda p, q: knn(p, q, 3).distances, chamfer])
def test_derivatives_are_those_of_differences(backend, value):
    points, queries = torch.randn(2, 2, 80, 3, dtype=torch.float64)
    directions = tuple(torch.randn(2, 2, 80, 3, dtype=torch.float64))
    here, tangent = torch.func.jvp(value, (points, queries), directions)
    h = 1e-6
    ahead, behind = (
        value(points + sign * directions[0], queries + sign * directions[1]) for sign in (h, -h)
    )
    assert torch.equal(here, value(points, queries))
    torch.testing.assert_close(tangent, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)
    inputs = [x.clone().requires_grad_() for x in (points, queries)]
    weight = torch.randn_like(here)
    pulled = torch.autograd.grad((value(*inputs) * weight).sum(), inputs)
    pairs = zip(pulled, directions, strict=True)
    torch.testing.assert_close(sum((g * d).sum() for g, d in pairs), (tangent * weight).sum())


def test_transforms_nest_and_map(backend):
    a, b = torch.randn(2, 3, 4, 40, 3, dtype=torch.float64)
    mapped = torch.func.vmap(chamfer)(a, b)
    torch.testing.assert_close(mapped, torch.stack([chamfer(*of) for of in zip(a, b, strict=True)]))
    shared = torch.func.vmap(lambda q: knn(a[0], q, 2).indices)(b)
    assert torch.equal(shared[2], knn(a[0], b[2], 2).indices)
    gradient = torch.func.grad(lambda x: chamfer(x, b[0]).sum())(a[0])
    _, second = torch.func.jvp(torch.func.grad(lambda x: chamfer(x, b[0]).sum()), (a[0],), (a[1],))
    assert gradient.isfinite().all()
    assert second.abs().max() > 0


def test_derivatives_are_finite_where_points_coincide(backend):
    points = torch.randn(1, 50, 3).requires_grad_()
    other = points.detach().clone()
    other[:, 25:] += 1
    other.requires_grad_()
    for value in (chamfer(points, other).sum(), knn(points, other, 2).distances.sum()):
        for gradient in torch.autograd.grad(value, (points, other)):
            assert gradient.isfinite().all()
            assert gradient.abs().max() > 0
    same = points.detach()
    _, tangent = torch.func.jvp(lambda x: chamfer(x, same), (same,), (torch.ones_like(same),))
    assert torch.equal(tangent, torch.zeros(1))
    naive = torch.autograd.grad(
        (points - points.detach()).norm(dim=-1).square().sqrt().sum(), points
    )
    assert naive[0].isnan().any()


X = torch.randn(2, 9, 3)
WRONG = {
    "k too large": (lambda: knn(X, X, 10), "k must be between 1 and the 9 points, got 10"),
    "k zero": (lambda: knn(X, X, 0), "k must be between 1"),
    "num too large": (lambda: fps(X, 10), "num must be between 1 and the 9 points, got 10"),
    "start": (lambda: fps(X, 3, 9), "start must be between 0 and 8, got 9"),
    "radius": (lambda: radius(X, X, -1.0, 4), "radius must be positive and finite, got -1"),
    "max_neighbors": (lambda: radius(X, X, 1.0, 0), "max_neighbors must be at least 1"),
    "plane": (lambda: knn(X[..., :2], X, 1), r"shape \(b, n, 3\), b alike, got \(2, 9, 2\)"),
    "no batch": (lambda: fps(X[0], 1), r"shape \(b, n, 3\)"),
    "batches": (lambda: chamfer(X, X[:1]), r"\(2, 9, 3\) and \(1, 9, 3\)"),
    "types": (
        lambda: chamfer(X, X.double()),
        "all be float32 or all float64, got torch.float32 and",
    ),
    "half": (lambda: fps(X.half(), 1), "all be float32 or all float64, got torch.float16"),
    "no points": (lambda: chamfer(X[:, :0], X), "must not be empty"),
    "not finite": (lambda: knn(X, X / 0, 1), "points must be finite"),
    "not finite, fps": (lambda: fps(X * float("nan"), 1), "points must be finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused(backend, case, unchecked):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_misspelt_backend_is_refused(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "torchcluster")
    with pytest.raises(ValueError, match="one of pytorch3d, torch-cluster, plain, got 'torchclu"):
        knn(X, X, 1)


@pytest.fixture
def absent(monkeypatch):
    """Two backends that are not there, before all others."""

    class Absent(Plain):
        package = "no_such_package"
        install = "pip install nothing"

    class Foreign(Plain):
        package = "json"

        def load(self):
            raise OSError("undefined symbol")

    neighbors.missing.cache_clear()
    monkeypatch.setattr(
        neighbors, "BACKENDS", {"absent": Absent(), "foreign": Foreign(), **BACKENDS}
    )
    yield
    neighbors.missing.cache_clear()


@pytest.mark.usefixtures("absent")
def test_an_absent_backend_is_passed_over_and_refused_when_forced(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.warns(RuntimeWarning, match=r"json does not load \(undefined symbol\)"):
        assert neighbors.backend_for("chamfer") in ("pytorch3d", "plain")
    monkeypatch.setenv(ENVIRONMENT, "absent")
    with pytest.raises(ImportError, match="no_such_package is not installed; pip install nothing"):
        knn(X, X, 1)
    monkeypatch.setenv(ENVIRONMENT, "foreign")
    with pytest.raises(ImportError, match="undefined symbol"):
        knn(X, X, 1)


def test_what_a_backend_lacks_the_next_one_answers(monkeypatch):
    if reason := neighbors.missing("torch-cluster"):
        pytest.skip(reason)
    monkeypatch.setenv(ENVIRONMENT, "torch-cluster")
    found = {name: neighbors.backend_for(name) for name in neighbors.OPERATIONS}
    assert found == dict.fromkeys(("knn", "radius", "fps"), "torch-cluster") | {"chamfer": "plain"}
    monkeypatch.setenv(ENVIRONMENT, "plain")
    assert {neighbors.backend_for(name) for name in neighbors.OPERATIONS} == {"plain"}


def test_importing_the_interface_imports_no_backend():
    program = (
        "import sys, geoflow.geometry.neighbors\n"
        "print({'torch_cluster', 'pytorch3d'} & {*sys.modules})"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_info_says_who_answers(monkeypatch, capsys):
    for name in BACKENDS:
        if not neighbors.missing(name):
            monkeypatch.setenv(ENVIRONMENT, name)
            assert main(["info"]) == 0
            line = next(x for x in capsys.readouterr().out.splitlines() if "neighbours:" in x)
            assert f"by {name}" in line
            assert all(operation in line for operation in neighbors.OPERATIONS)
    assert line == "neighbours: knn, radius, fps, chamfer by plain"
    monkeypatch.setenv(ENVIRONMENT, "torchcluster")
    assert main(["info"]) == 2
    assert "GEOFLOW_NEIGHBORS must be one of" in capsys.readouterr().err
