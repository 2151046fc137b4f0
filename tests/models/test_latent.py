"""What generators of shapes have in common: meshes of any place and size, conditions from words."""

import numpy as np
import pytest
import torch
import trimesh

from geoflow.models.kinds import load
from geoflow.models.latent import Detail


@pytest.fixture(scope="module", params=["chair", "airplane"])
def generator(request):
    return load(request.param)


@pytest.fixture(scope="module")
def mesh():
    box = trimesh.creation.box(extents=[2.0, 1.0, 0.6])
    box.apply_translation([0.0, 0.2, 0.0])
    return box


def moved(mesh):
    away = mesh.copy()
    away.apply_scale(40.0)
    away.apply_translation([300.0, -7.0, 12.0])
    return away


def test_a_mesh_may_stand_anywhere(generator, mesh):
    here, there = (generator.encode_mesh(m) for m in (mesh, moved(mesh)))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)
    # Twin: another shape has another latent.
    other = generator.encode_mesh(trimesh.creation.icosphere(2))
    assert (here - other).abs().max() > 0.05


def test_the_transform_leads_back(generator, mesh):
    away = moved(mesh)
    tokens, transform = generator.encode_mesh(away, return_transform=True)
    unit = away.copy().apply_transform(np.linalg.inv(transform))
    np.testing.assert_allclose(np.abs(unit.vertices).max(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(unit.bounds.mean(0), 0.0, atol=1e-12)
    (shape,) = generator.shapes(tokens[None], Detail(24, 64))
    placed = shape.apply_transform(transform).vertices
    assert np.abs(placed.mean(0) - away.bounds.mean(0)).max() < 1.05 * away.extents.max() / 2


def test_conditions_are_made_of_words_in_one_place(generator):
    cond = generator.condition(3)
    assert set(cond.parts()) == {"frame", "category"}
    assert cond.category.tolist() == [0, 0, 0]
    torch.testing.assert_close(cond.frame, torch.eye(3).expand(3, 3, 3))
    turned = -torch.eye(3).expand(2, 3, 3)
    assert torch.equal(generator.condition(2, frame=turned).frame, turned)
    with pytest.raises(ValueError, match=r"category must be one of .*, got 'boat'"):
        generator.condition(1, category="boat")
