"""Mesh files: every suffix, atomically; normalising, simplifying, turning."""

import io
import zipfile

import numpy as np
import point_cloud_utils
import pytest
import trimesh

from geoflow.geometry.axes import turn_up
from geoflow.geometry.mesh import (
    OUT_SUFFIXES,
    aspect_quantiles,
    mesh_bytes,
    normalise_mesh,
    parse_size,
    remove_crumbs,
    resize_mesh,
    simplify_mesh,
    summarise,
    write_mesh,
)
from geoflow.geometry.simplification import decimate, is_solid, merge_equal, simplify_within
from geoflow_tools.bench.solids import faults


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=3, radius=0.8)


@pytest.mark.parametrize("suffix", OUT_SUFFIXES)
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
    with pytest.raises(ValueError, match=r"one of \.obj, .* \.3mf, got 'a.usd'"):
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


@pytest.fixture(scope="module")
def ring():
    """A chain of two thin rings: two handles, two parts, edges of very different lengths."""
    one = trimesh.creation.torus(0.6, 0.08, major_sections=90, minor_sections=40)
    other = one.copy()
    other.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    other.apply_translation([0.6, 0.0, 0.0])
    return trimesh.util.concatenate([one, other])


@pytest.mark.parametrize("faces", [500, 2000, 5000])
def test_simplified_solid_is_a_solid_of_the_same_topology(ring, faces):
    simple = simplify_mesh(ring, faces)
    assert len(simple.faces) <= faces
    assert faults(simple) == []
    assert (simple.body_count, simple.euler_number) == (2, 0)


def test_fewer_faces_than_topology_allows_are_refused_with_the_least(ring):
    with pytest.raises(ValueError, match="for this mesh to stay closed") as refused:
        simplify_mesh(ring, 16)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    assert 16 < least < 100
    assert faults(simplify_mesh(ring, least)) == []


def test_what_is_no_solid_is_simplified_too(ring):
    opened = trimesh.Trimesh(ring.vertices, ring.faces[10:], process=False)
    assert not is_solid(opened)
    assert len(simplify_mesh(opened, 1000).faces) <= 1000
    assert simplify_within(opened, 0.01) is opened
    assert len(decimate(ring, 1000).faces) <= 1000


@pytest.mark.parametrize("share", [2e-3, 1e-2])
def test_simplified_within_a_share_of_the_size(ring, share):
    simple = simplify_within(ring, share)
    assert len(simple.faces) < 0.9 * len(ring.faces)
    assert faults(simple) == []
    points = trimesh.sample.sample_surface(ring, 2000, seed=0)[0]
    away, _, _ = point_cloud_utils.closest_points_on_mesh(
        points, np.asarray(simple.vertices), np.asarray(simple.faces)
    )
    assert away.max() <= share * ring.extents.max()
    with pytest.raises(ValueError, match="share must be positive, got 0"):
        simplify_within(ring, 0.0)


def test_aspect_is_one_of_equilateral_triangles():
    corners = [[0, 0, 0], [1, 0, 0], [0.5, 3**0.5 / 2, 0], [0, 1, 0], [2, 0, 0]]
    faces = [[0, 1, 2], [0, 1, 4], [0, 1, 3]]
    mesh, flat = (trimesh.Trimesh(corners, f, process=False) for f in (faces, faces[1:2]))
    # Legs of 1: the inradius is half of 2 - sqrt(2).
    right = 2**0.5 / (3**0.5 * (2 - 2**0.5))
    np.testing.assert_allclose(aspect_quantiles(mesh), [(1 + right) / 2, 0.01 + 0.99 * right])
    assert aspect_quantiles(flat) == (np.inf, np.inf)


def test_summary_is_of_the_mesh_that_a_reader_merges(ball):
    """Also where the units are small: equal is a matter of the size."""
    for scale in (1.0, 1e-6, 1e6):
        soup = trimesh.Trimesh(
            scale * ball.triangles.reshape(-1, 3),
            np.arange(3 * len(ball.faces)).reshape(-1, 3),
            process=False,
        )
        assert not soup.is_watertight
        assert len(merge_equal(soup).vertices) == len(ball.vertices)
        summary = summarise(soup)
        assert (summary.faces, summary.is_watertight, summary.components) == (1280, True, 1)
    # Twin: vertices that a file cannot tell apart make an edge of two faces one of four.
    flat = ball.copy()
    flat.vertices[flat.faces[0, 0]] = flat.vertices[flat.faces[0, 1]]
    assert flat.is_watertight
    assert not summarise(flat).is_watertight


@pytest.mark.parametrize(
    ("text", "millimetres"), [("100mm", 100), ("10 cm", 100), ("0.1m", 100), ("2in", 50.8)]
)
def test_size_is_the_largest_extent_in_the_unit_of_the_format(ring, text, millimetres):
    assert parse_size(text) == pytest.approx(millimetres)
    for suffix in OUT_SUFFIXES:
        content = mesh_bytes(resize_mesh(ring, parse_size(text), suffix), suffix)
        again = trimesh.load_mesh(io.BytesIO(content), file_type=suffix[1:])
        unit = 1000.0 if suffix == ".glb" else 1.0
        np.testing.assert_allclose(again.extents.max() * unit, millimetres, rtol=1e-5)
        again.merge_vertices()
        assert again.is_watertight, suffix
    assert b'unit="millimeter"' in _model_of(mesh_bytes(ring, ".3mf"))


@pytest.mark.parametrize("text", ["100", "mm", "0mm", "-1mm", "1e3mm", "1.2.3mm", "10km"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="a size must be a length in mm, cm, m or in"):
        parse_size(text)


def _model_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("3D/3dmodel.model")


def test_glb_has_smooth_normals_and_a_material_on_shared_vertices(ball):
    content = mesh_bytes(ball, ".glb")
    again = trimesh.load_mesh(io.BytesIO(content), file_type="glb", process=False)
    assert len(again.vertices) == len(ball.vertices)
    assert again.visual.material.metallicFactor == 0.0
    assert b'"NORMAL"' in content
    outward = (again.vertex_normals * again.vertices).sum(1) / np.linalg.norm(
        again.vertices, axis=1
    )
    assert outward.min() > 0.99
    # A mesh with colours of its own keeps them.
    ball.visual.vertex_colors = [255, 0, 0, 255]
    for suffix in (".glb", ".obj", ".ply"):
        again = trimesh.load_mesh(io.BytesIO(mesh_bytes(ball, suffix)), file_type=suffix[1:])
        assert again.visual.vertex_colors[0].tolist() == [255, 0, 0, 255]
