"""ONNX graphs give the samples of the model, at any number of steps, shapes and points."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import tiny_models

from geoflow.models.kinds import load
from geoflow.models.onnx import DECODER, PAGE, export_onnx, sample_latent
from geoflow_cli import main

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("kind", ["points", "distribution", "joints"])
def test_other_kinds_are_refused(kind, tmp_path):
    with pytest.raises(
        ValueError, match=f"models of kind 'sdf', 'shapes' have ONNX graphs, got one of .*{kind}"
    ):
        export_onnx(tiny_models()[kind], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_samples_start_again_on_the_linear_path_alone(tmp_path):
    model = tiny_models()["sdf"]
    model.config = replace(model.config, interpolant="vp", restarts=True)
    with pytest.raises(ValueError, match="for the linear path alone, got vp"):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "power", "restarts"), [("sdf", 1.0, False), ("shapes", 3.0, False), ("sdf", 2.0, True)]
)
def test_onnxruntime_gives_equal_samples(tmp_path, unchecked, kind, power, restarts):
    model = tiny_models()[kind]
    warm = 1.2 if restarts else 1.0
    model.config = replace(model.config, grid_power=power, restarts=restarts, temperature=warm)
    model.save_pretrained(tmp_path / "model")
    model = load(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "out")]) == 0
    page = json.loads((tmp_path / "out" / PAGE).read_text())
    assert page["categories"] == list(model.categories)
    assert (len(page["sample"]), page["restarts"]) == (5 if restarts else 3, restarts)
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


@pytest.mark.slow
def test_without_a_flow_there_is_a_decoder_alone(tmp_path, unchecked):
    model = tiny_models()["shapes"]
    model.config = replace(model.config, generates=False)
    written = export_onnx(model, tmp_path / "out")
    assert [path.name for path in written] == [DECODER, PAGE]
    page = json.loads((tmp_path / "out" / PAGE).read_text())
    assert page.keys() == {"geoflow", "kind", "categories", "state", "sample"}
    state, points = torch.randn(3, *page["state"][1:]), torch.rand(3, 20, 3) * 2 - 1
    cond = model.condition(3)
    with torch.no_grad():
        tokens = model.scale.denormalise(state, cond.frame)
        expected = model.autoencoder.decode(tokens, points, cond.frame).numpy()
    given = {"state": state.numpy(), "points": points.numpy()}
    (found,) = onnxruntime.InferenceSession(tmp_path / "out" / DECODER).run(None, given)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std() > 1e-3
