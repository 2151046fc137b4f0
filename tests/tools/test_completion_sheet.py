"""The picture of completion: what a camera sees of points, and a sheet of all rows."""

import numpy as np
import pytest
from PIL import Image

from geoflow_tools.completion_sheet import Options, main, visible_from


def test_a_camera_sees_its_side_of_a_ball():
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    place = np.array([0.0, 0.0, 3.0])
    seen = visible_from(points, place)
    # The horizon of a camera three radii away is at height 1/3.
    assert seen[points[:, 2] > 0.45].mean() > 0.98
    assert not seen[points[:, 2] < 0.1].any()
    # Twin: from the other side the other ones.
    assert not (visible_from(points, -place) & seen).any()


@pytest.mark.slow
def test_a_sheet_is_drawn(tmp_path, monkeypatch):
    pytest.importorskip("open3d")
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path))
    out = tmp_path / "sheet.png"
    main(Options(out, category="mug", rows=(0,), points=(64,), side=200, resolution=24, size=40))
    with Image.open(out) as picture:
        width, height = picture.size
    assert width == 3 * 40
    assert height > 2 * 40
