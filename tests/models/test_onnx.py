"""ONNX graphs give the samples of the model, at any number of steps, shapes and points."""

import json

import numpy as np
import pytest
import torch
from tiny_models import tiny_models

from geoflow.models.kinds import load
from geoflow.models.onnx import DECODER, PAGE, export_onnx, sample_latent
from geoflow_cli import main

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("kind", ["shapes", "points", "distribution", "joints"])
def test_other_kinds_are_refused(kind, tmp_path):
    with pytest.raises(
        ValueError, match=f"models of kind 'sdf' have ONNX graphs, got one of .*{kind}"
    ):
        export_onnx(tiny_models()[kind], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_onnxruntime_gives_equal_samples(tmp_path, unchecked):
    tiny_models()["sdf"].save_pretrained(tmp_path / "model")
    model = load(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "out")]) == 0
    page = json.loads((tmp_path / "out" / PAGE).read_text())
    assert page["categories"] == list(model.categories)
    decoder = onnxruntime.InferenceSession(tmp_path / "out" / DECODER)
    for num, steps, category in ((1, 1, 0), (3, 4, 1)):
        noise = model.noise(num, seed=steps)
        cond = model.condition(num, category=model.categories[category])
        latents = model.sample_latents(noise, cond, steps=steps)
        points = torch.rand(num, 50 * num, 3) * 2 - 1
        with torch.no_grad():
            expected = model.autoencoder.decode(latents, points, cond.frame).numpy()
        state = sample_latent(tmp_path / "out", noise.numpy(), category, steps=steps)
        (found,) = decoder.run(None, {"state": state, "points": points.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-5)
        # The twin: another category is another shape.
        other = sample_latent(tmp_path / "out", noise.numpy(), 1 - category, steps=steps)
        assert np.abs(other - state).max() > 1e-3
