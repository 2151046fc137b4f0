"""Headers of .ply files are believed no further than their files reach."""

import io

import numpy as np
import pytest
import trimesh

from geoflow.geometry.ply_header import check_ply_counts
from geoflow.geometry.read_mesh import read_mesh_bytes
from geoflow.geometry.read_points import read_points_bytes


def whole(encoding):
    return trimesh.creation.box().export(file_type="ply", encoding=encoding)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
@pytest.mark.parametrize("element", [b"element vertex 8", b"element face 12"])
@pytest.mark.parametrize("count", [4_294_967_295, 99_999_999_999_999])
def test_more_than_a_file_holds_is_refused_before_it_is_asked_for(encoding, element, count):
    content = whole(encoding)
    content = content.encode() if isinstance(content, str) else content
    check_ply_counts(content, len(content))
    name = element.rsplit(b" ", 1)[0]
    damaged = content.replace(element, name + b" %d" % count)
    assert damaged != content
    with pytest.raises(ValueError, match=f"names {count:,} of {name.split()[1].decode()}"):
        check_ply_counts(damaged, len(damaged))
    with pytest.raises(ValueError, match="the file is too short"):
        read_mesh_bytes(damaged, ".ply")
    if b"vertex" in element:
        with pytest.raises(ValueError, match="the file is too short"):
            read_points_bytes(damaged, ".ply")


def test_files_of_the_least_size_are_read():
    """One more row than there is would be refused; all that there are, are not."""
    points = np.arange(9, dtype=np.float32).reshape(3, 3)
    header = b"ply\nformat %s 1.0\nelement vertex 3\n%send_header\n"
    axes = b"".join(b"property float %s\n" % axis for axis in (b"x", b"y", b"z"))
    text = b"\n".join(b" ".join(b"%d" % v for v in row.astype(int)) for row in points)
    for content in (
        header % (b"binary_little_endian", axes) + points.tobytes(),
        header % (b"ascii", axes) + text,
    ):
        np.testing.assert_array_equal(read_points_bytes(content, ".ply").points, points)
    assert io.BytesIO(content).read().endswith(b"8")
