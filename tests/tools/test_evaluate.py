"""Scores of samples against sets whose answers are known."""

import numpy as np
import pytest
import trimesh

from geoflow.geometry.metrics import pairwise_chamfer
from geoflow_tools.evaluate import Options, evaluate, score_samples
from geoflow_tools.validation.samples import surface_points


def boxes(num, seed):
    sizes = np.random.default_rng(seed).uniform(0.5, 1.5, (num, 3))
    return [trimesh.creation.box(extents=size) for size in sizes]


def references(meshes):
    return [surface_points(mesh, seed=1000 + i, num=512) for i, mesh in enumerate(meshes)]


@pytest.mark.slow
def test_the_same_distribution_scores_near_a_half_and_another_near_one():
    reference = references(boxes(60, 0))
    within = pairwise_chamfer(reference)
    same = score_samples(boxes(60, 1), reference, within)
    assert 0.3 < same["one_nna_cd"] < 0.7
    assert same["watertight"] == same["single_component"] == 1.0
    spheres = [trimesh.creation.icosphere(radius=r) for r in np.linspace(0.5, 0.8, 60)]
    other = score_samples(spheres, reference, within)
    assert other["one_nna_cd"] > 0.9
    assert other["minimum_matching_distance"] > same["minimum_matching_distance"]


def test_empty_and_broken_samples_count_against_the_model():
    reference = references(boxes(4, 0))
    box, two = boxes(1, 1)[0], trimesh.util.concatenate(
        [trimesh.creation.box(), trimesh.creation.box().apply_translation([3, 0, 0])]
    )  # fmt: skip
    scores = score_samples([box, box, two, None], reference, pairwise_chamfer(reference))
    assert scores["empty"] == 0.25
    assert scores["watertight"] == 0.75
    assert scores["single_component"] == 0.5


@pytest.mark.slow
def test_report_of_the_shipped_model():
    asked = Options(num=6, reconstructions=24, steps=(2,), ode_steps=None, resolution=48)
    report = evaluate(asked)
    assert report["reconstruction"]["iou"] > 0.94
    assert report["samples"]["2"]["watertight"] == 1.0
