"""Weights in int8 with a scale for each row: close, stable, and refused where damaged."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from geoflow.models.checkpoint import (
    CheckpointError,
    in_int8,
    load_shapes,
    load_tensors,
    save_checkpoint,
)

SHAPES = ((512, 384), (16, 8, 3, 3), (5,), (1, 1))


def read_back(folder, tensors):
    save_checkpoint(folder / "a.safetensors", tensors, {})
    return load_tensors(folder / "a.safetensors")


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_a_number_moves_by_half_a_step_of_its_row_at_most(tmp_path, shape):
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.linspace(-30, 6, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    weight = torch.randn(shape, generator=generator) * sizes
    weight[3] = 0.0
    found = read_back(tmp_path, in_int8("w", weight))["w"]
    assert found.dtype == torch.float32
    step = weight.flatten(1).abs().amax(1) / 127
    moved = (found - weight).flatten(1).abs().amax(1)
    assert (moved <= 0.51 * step + 0.002 * 127 * step).all()
    assert (found[3] == 0).all()
    # Rounded once, it stays; float8 is three times as far off.
    assert torch.equal(read_back(tmp_path, in_int8("w", found))["w"], found)
    plain = torch.randn(512, 384, generator=generator)
    error = (read_back(tmp_path, in_int8("w", plain))["w"] - plain).norm()
    assert error < 0.4 * (plain.to(torch.float8_e4m3fn).float() - plain).norm()


def test_shapes_are_those_of_the_weights(tmp_path):
    weights = {"w": torch.randn(6, 4), "plain": torch.randn(2)}
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {**in_int8("w", weights["w"]), "plain": weights["plain"]}, {})
    found = load_shapes(path)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in weights.items()
    }
    assert torch.equal(load_tensors(path)["plain"], weights["plain"])


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.pop("w"),
        lambda held: held.update({"w.row_scale": held["w.row_scale"][:-1]}),
        lambda held: held.update({"w.row_scale": held["w.row_scale"][:, None]}),
        lambda held: held.update(w=held["w"][0, 0]),
    ],
    ids=["without its tensor", "too short", "of another shape", "of a number"],
)
def test_a_scale_that_fits_nothing_is_refused(tmp_path, change):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, in_int8("w", torch.randn(6, 4)), {})
    held = load_file(path)
    change(held)
    save_file(held, path)
    with pytest.raises(CheckpointError, match=r"w\.row_scale fits no tensor"):
        load_tensors(path)
