"""Guessed normals: near the true ones, of unit length, and with their points in any order."""

import numpy as np
import pytest
import torch

import geoflow
from geoflow.geometry.metrics import is_watertight
from geoflow.models.completion import load_solids, points_of_mesh, prepare, with_guessed_normals
from geoflow.models.guessed_normals import guess_normals


@pytest.fixture(scope="module")
def chair():
    """A model that needs normals."""
    model = load_solids("chair")
    model.forget_scans()
    return model


@pytest.fixture(scope="module")
def reader():
    return load_solids("shapes")


@pytest.fixture(scope="module")
def cloud(chair):
    (mesh,) = chair.sample(seed=2, resolution=48)
    return points_of_mesh(mesh, 300, seed=0)


def test_they_are_near_the_true_ones(chair, reader, cloud):
    given = prepare(chair, cloud.points, cloud.normals)
    found = guess_normals(chair, given.points, reader=reader)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(1, 300))
    assert (found * given.normals).sum(-1).mean() > 0.7
    assert not found.requires_grad
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    other = guess_normals(chair, given.points[:, order], reader=reader)
    torch.testing.assert_close(other, found[:, order], rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match="rounds must be at least 0, got -1"):
        guess_normals(chair, given.points, rounds=-1)
    with pytest.raises(ValueError, match="trained with outward normals alone"):
        guess_normals(chair, given.points, reader=chair)


def test_a_model_of_bare_points_reads_them_itself(cloud):
    model = load_solids("chair")
    given = prepare(model, cloud.points, cloud.normals)
    found = guess_normals(model, given.points)
    assert torch.equal(found, guess_normals(model, given.points, reader=model))
    assert (found * given.normals).sum(-1).mean() > 0.8


def test_a_model_that_needs_normals_completes_bare_points(chair, reader, cloud):
    (mesh,) = geoflow.complete(cloud.points, model=chair, guess=True, resolution=24)
    assert is_watertight(mesh)
    assert mesh.metadata["fit_median"] < 0.03
    given = with_guessed_normals(chair, prepare(chair, cloud.points, None), reader=reader)
    assert given.oriented
    assert given.normals.shape == given.points.shape
    np.testing.assert_allclose(np.ptp(mesh.bounds, 0), np.ptp(cloud.points, 0), atol=0.25)
