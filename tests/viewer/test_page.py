"""A page of shapes: small, offline, labelled, and the shapes that it was given."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
import trimesh

from geoflow_viewer.export import export_bytes
from geoflow_viewer.items import Item, Result, Rung
from geoflow_viewer.page import MOST_FACES, page
from geoflow_viewer.scene import tiles
from geoflow_viewer.state import State, parts


def scene_of(content):
    text = content.decode()
    return json.loads(re.search(r"const SCENE = (.*);\n", text).group(1))


def unpacked(layer):
    """What the page's script reads."""
    content = gzip.decompress(base64.b64decode(layer["data"]))
    steps = np.frombuffer(content, "<u2", 3 * layer["count"]).reshape(-1, 3)
    places = (steps / 65535 * 2 - 1) * layer["reach"]
    count = 3 * layer.get("num_faces", 0)
    words = np.frombuffer(content, "<u4", count, layer["faces"])
    return places, np.cumsum(words, dtype=np.uint32).reshape(-1, 3)


def result_of(state, shape, count):
    items = tuple(
        Item(label, part, **shape) for label, part in parts(state)[:count]
    )  # fmt: skip
    return Result(state, Rung(64, 2048), items, 0.0)


def test_a_page_holds_the_shapes_and_their_labels():
    state = State(layout="compare", seed=7)
    ball = trimesh.creation.icosphere(subdivisions=2)
    content = export_bytes(result_of(state, {"mesh": ball}, 4), state, ".html")
    assert b"<title>chair, seed 7, 64\xc2\xb3</title>" in content
    shown = scene_of(content)["tiles"]
    assert [tile["label"] for tile in shown] == [label for label, _ in parts(state)]
    for tile in shown:
        (layer,) = tile["layers"]
        places, faces = unpacked(layer)
        np.testing.assert_array_equal(faces, ball.faces)
        np.testing.assert_allclose(places, ball.vertices, atol=2e-5)


def test_a_page_is_small_and_asks_for_nothing():
    state = State(layout="compare")
    fine = trimesh.creation.icosphere(subdivisions=6)
    cloud = np.random.default_rng(0).random((20_000, 3)).astype(np.float32)
    for shape in ({"mesh": fine}, {"cloud": cloud}):
        content = export_bytes(result_of(state, shape, 4), state, ".html")
        assert len(content) < 4e6
        assert not re.search(rb"(src|href)=|https?://|url\(|import ", content)
        assert b"default-src 'none'" in content
    faces = sum(tile["layers"][0]["num_faces"] for tile in scene_of(
        export_bytes(result_of(state, {"mesh": fine}, 4), state, ".html"))["tiles"])  # fmt: skip
    assert faces <= MOST_FACES < 4 * len(fine.faces)


def test_names_are_text_and_equal_scenes_equal_files():
    name = "</script><script>alert(1)</script>.obj"
    state = State(mesh=name)
    item = Item(name, state, trimesh.creation.box())
    result = Result(state, Rung(64, 2048), (item,), 0.0)
    content = export_bytes(result, state, ".html")
    assert b"<script>alert" not in content
    assert scene_of(content)["tiles"][0]["label"] == name
    assert content == export_bytes(result, state, ".html")
    with pytest.raises(ValueError, match="empty"):
        page(tiles(Result(state, Rung(64, 2048), (Item("a", state),), 0.0), state))
