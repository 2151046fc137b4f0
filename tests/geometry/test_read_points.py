"""Clouds are read alike whatever their format, with normals where they are there, or refused."""

import io
import struct

import laspy
import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud

from geoflow.geometry.points import SUFFIXES as WRITTEN
from geoflow.geometry.points import write_points
from geoflow.geometry.read_points import SUFFIXES, is_cloud, read_points, read_points_bytes

POINTS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32).astype(np.float64)
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
FAR = np.array([512_345.0, 5_400_000.0, 0.0])
NAMES = ("x", "y", "z", "normal_x", "normal_y", "normal_z")


def write(path, *, encoding=Encoding.BINARY_COMPRESSED):
    """The points, with normals where the format has them; scans stand where they were made."""
    rows = np.hstack([POINTS, NORMALS]).astype(np.float32)
    if path.suffix == ".pcd":
        PointCloud.from_points(rows, NAMES, (np.float32,) * 6).save(path, encoding=encoding)
    elif path.suffix in (".las", ".laz"):
        header = laspy.LasHeader(point_format=0, version="1.2")
        header.offsets, header.scales = FAR, [1e-5] * 3
        scan = laspy.LasData(header)
        scan.x, scan.y, scan.z = (POINTS + FAR).T
        scan.write(str(path))
    else:
        write_points([rows], path, num=len(rows), channels=("position", "normal"))
    return path


def test_what_is_written_can_be_read():
    assert set(WRITTEN) < set(SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_points_and_its_normals(tmp_path, suffix):
    path = write(tmp_path / f"cloud{suffix}")
    for cloud in (read_points(path), read_points_bytes(path.read_bytes(), suffix.upper())):
        if suffix in (".las", ".laz"):
            # Millions of metres from the origin, single precision would keep half metres.
            np.testing.assert_allclose(cloud.points - FAR, POINTS, atol=1e-5)
            assert cloud.normals is None
        else:
            np.testing.assert_allclose(cloud.points, POINTS, atol=1e-4)
            np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-4)
    assert is_cloud(path)


@pytest.mark.parametrize("encoding", Encoding)
def test_every_encoding_of_pcd_is_read(tmp_path, encoding):
    cloud = read_points(write(tmp_path / "cloud.pcd", encoding=encoding))
    np.testing.assert_allclose(cloud.points, POINTS, atol=1e-6)


def test_colours_are_no_normals(tmp_path):
    rows = np.hstack([POINTS, np.full_like(POINTS, 0.9)])
    np.save(tmp_path / "cloud.npy", rows)
    assert read_points(tmp_path / "cloud.npy").normals is None
    np.savez(tmp_path / "cloud.npz", points=POINTS, normals=3 * NORMALS)
    assert read_points(tmp_path / "cloud.npz").normals is None
    np.savez(tmp_path / "cloud.npz", points=POINTS, normals=NORMALS[:5])
    with pytest.raises(ValueError, match=r"expected normals of shape \(60, 3\), got \(5, 3\)"):
        read_points(tmp_path / "cloud.npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_and_empty_files_are_refused_in_one_line(tmp_path, suffix):
    path = tmp_path / f"cloud{suffix}"
    path.write_bytes(b"what is this\n")
    with pytest.raises(ValueError, match="it cannot be read: ") as refused:
        read_points(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="it cannot be read: "):
        read_points(tmp_path / f"missing{suffix}")


def test_what_is_no_cloud_is_refused(tmp_path):
    path = tmp_path / "cloud.npy"
    for rows, why in (
        (np.zeros((5, 2)), r"expected points of shape \(n, 3\), n > 0, got \(5, 2\)"),
        (np.zeros((0, 3)), r"got \(0, 3\)"),
        (np.zeros((5, 3), dtype=bool), "expected numbers, got bool"),
        (np.where(np.arange(15).reshape(5, 3) == 4, np.nan, 1.0), "1 of 5 are NaN or infinite"),
    ):
        np.save(path, rows)
        with pytest.raises(ValueError, match=why):
            read_points(path)
    np.savez(tmp_path / "cloud.npz", a=POINTS, b=POINTS)
    with pytest.raises(ValueError, match="expected an array 'points', got a, b"):
        read_points(tmp_path / "cloud.npz")
    with pytest.raises(ValueError, match=r"clouds are \.ply, .*, got '\.abc'"):
        read_points_bytes(b"", ".abc")


@pytest.mark.parametrize("form", [0, 3, 6, 8])
def test_scans_of_every_form_are_read(form):
    header = laspy.LasHeader(point_format=form, version="1.4")
    header.scales = [1e-5] * 3
    header.add_extra_dim(laspy.ExtraBytesParams("quality", np.float32))
    scan = laspy.LasData(header)
    scan.x, scan.y, scan.z = POINTS.T
    for suffix in (".las", ".laz"):
        content = io.BytesIO()
        scan.write(content, do_compress=suffix == ".laz")
        read = read_points_bytes(content.getvalue(), suffix)
        np.testing.assert_allclose(read.points, POINTS, atol=1e-5)


@pytest.mark.parametrize(
    ("place", "number"),
    [(100, 2**27), (107, 2**31), (107, 60_000), (293, 0), (293, 2), (313, 0)],
    ids=["records", "points", "more points than chunks", "chunk 0", "chunk 2", "parts"],
)
def test_a_scan_that_names_more_than_it_holds_is_refused(tmp_path, place, number):
    """Its reader would end the process, or read on for minutes."""
    content = bytearray(write(tmp_path / "cloud.laz").read_bytes())
    assert len(read_points_bytes(bytes(content), ".laz").points) == len(POINTS)
    struct.pack_into("<I", content, place, number)
    with pytest.raises(ValueError, match="it cannot be read: it"):
        read_points_bytes(bytes(content), ".laz")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".xyz", b"0 0 0\n1 1 %s\n" % (b"x" * 5000)),
        (".xyz", b"0 0 0\n%s\n" % (b"ab " * 2000)),
        (
            ".ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty %s x\nend_header\n1\n"
            % (b"f" * 5000),
        ),
        (".pcd", b"VERSION .7\nFIELDS %s\nSIZE 4\n" % (b"x" * 5000)),
    ],
)
def test_long_words_of_a_file_are_said_by_their_beginning(suffix, content):
    with pytest.raises(ValueError, match="it ") as refused:
        read_points_bytes(content, suffix)
    assert len(str(refused.value)) < 700
