"""Mesh files: every suffix, atomically; normalising, simplifying, turning."""

import numpy as np
import pytest
import trimesh

from geoflow.geometry.axes import turn_up
from geoflow.geometry.mesh import (
    SUFFIXES,
    normalise_mesh,
    remove_crumbs,
    simplify_mesh,
    summarise,
    write_mesh,
)


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=3, radius=0.8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_mesh_reads_back(tmp_path, ball, suffix):
    path = tmp_path / f"ball{suffix}"
    write_mesh(ball, path)
    again = trimesh.load_mesh(path)
    again.merge_vertices()
    assert again.is_watertight
    np.testing.assert_allclose(again.volume, ball.volume, rtol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_failed_write_keeps_the_old_file(tmp_path, ball, monkeypatch):
    path = tmp_path / "ball.obj"
    path.write_text("old")

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_mesh(ball, path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_unknown_suffix_lists_the_known(tmp_path, ball):
    with pytest.raises(ValueError, match=r"one of \.obj, \.ply, \.stl, \.glb, \.off, got 'a.usd'"):
        write_mesh(ball, tmp_path / "a.usd")


def test_normalise_centres_and_scales(ball):
    ball.apply_scale([2.0, 1.0, 0.5])
    ball.apply_translation([5.0, -3.0, 1.0])
    mesh = normalise_mesh(ball)
    np.testing.assert_allclose(mesh.bounds.sum(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(mesh.vertices).max(), 1.0)
    with pytest.raises(ValueError, match="no extent"):
        normalise_mesh(trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False))


def test_simplified_mesh_keeps_its_shape(ball):
    simple = simplify_mesh(ball, 200)
    assert len(simple.faces) <= 200 < len(ball.faces)
    np.testing.assert_allclose(simple.volume, ball.volume, rtol=0.05)
    assert simplify_mesh(ball, 10**6) is ball
    with pytest.raises(ValueError, match="at least 16"):
        simplify_mesh(ball, 3)


def test_up_axis_turns_without_mirroring():
    mesh = trimesh.creation.box(extents=[1.0, 2.0, 3.0])
    mesh.apply_translation([0.0, 5.0, 0.0])
    turned = turn_up(mesh, "z")
    np.testing.assert_allclose(turned.centroid, [0.0, 0.0, 5.0], atol=1e-12)
    np.testing.assert_allclose(turned.extents, [1.0, 3.0, 2.0])
    assert turned.volume > 0
    with pytest.raises(ValueError, match="'y' or 'z'"):
        turn_up(mesh, "x")


def test_summary_counts(ball):
    two = trimesh.util.concatenate([ball, ball.copy().apply_translation([3, 0, 0])])
    summary = summarise(two)
    assert (summary.faces, summary.is_watertight, summary.components) == (2560, True, 2)
    open_ball = trimesh.Trimesh(ball.vertices, ball.faces[1:], process=False)
    assert not summarise(open_ball).is_watertight


def test_crumbs_are_removed_by_their_share_of_the_volume(ball):
    crumb = trimesh.creation.icosphere(subdivisions=1, radius=0.1).apply_translation([2, 0, 0])
    both = trimesh.util.concatenate([ball, crumb])
    both.metadata["seed"] = 3
    clean = remove_crumbs(both, 0.01)
    assert clean.body_count == 1
    assert clean.is_watertight
    assert clean.metadata["seed"] == 3
    np.testing.assert_allclose(clean.volume, ball.volume, rtol=1e-9)
    assert remove_crumbs(both, 0.0005).body_count == 2
    assert remove_crumbs(both, 0.0) is both
    assert remove_crumbs(ball, 0.5) is ball
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\), got 1.0"):
        remove_crumbs(ball, 1.0)
