"""Models of meshes (kinds sdf, shapes) as ONNX: two graphs and a page, for programs without torch.

    flow.onnx      state, t, r, category -> state     psi_{t->r}, latents scaled to unit size
    decoder.onnx   state, points -> distance          signed, negative inside, of an upright shape
    model.json     names, shapes, the grid of times, and what to make of them

A sample is noise through the flow at the times of a grid, then the decoder at any points: see
`sample_latent`, which needs onnxruntime alone. A model whose flow was not trained has a decoder
alone.
"""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow import __version__
from geoflow.atomic import draft_of, sync, write_json
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.kinds import KINDS
from geoflow.models.meshes import FieldGenerator
from geoflow.symmetry import upright_frame

FLOW, DECODER, PAGE = "flow.onnx", "decoder.onnx", "model.json"
_OPSET = 18
_STEPS = 2
_JUMPS = (
    "for t, r in consecutive times (i / steps) ** grid_power, i from 0 to steps: "
    "state = flow.onnx(state, t, r, category)",
)
_RESTARTS = (
    "for t in the times (i / steps) ** grid_power, i from 0 to steps - 1:",
    "from the second on, state = (1 - t) * other + t * state, other being the first state, its "
    "tokens (second axis) turned round by i * their number // steps",
    "state = flow.onnx(state, t, 1, category)",
)
# Sizes by which the graphs are traced; any others may be given.
_BATCH, _POINTS = 2, 7


class _Flow(nn.Module):
    """The flow map of upright shapes."""

    frame: Tensor | None

    def __init__(self, model: FieldGenerator) -> None:
        super().__init__()
        self.flow_map: FlowMap = model.flow_map
        self.register_buffer("frame", upright_frame(model.config.symmetry, 1))

    def forward(self, state: Tensor, t: Tensor, r: Tensor, category: Tensor) -> Tensor:
        frame = None if self.frame is None else self.frame.expand(state.shape[0], -1, -1)
        return self.flow_map(state, t, r, Condition(frame=frame, category=category))


class _Decoder(nn.Module):
    """A state at time 1 to distances."""

    frame: Tensor | None

    def __init__(self, model: FieldGenerator) -> None:
        super().__init__()
        self.scale, self.autoencoder = model.scale, model.autoencoder
        self.register_buffer("frame", upright_frame(model.config.symmetry, 1))

    def forward(self, state: Tensor, points: Tensor) -> Tensor:
        frame = None if self.frame is None else self.frame.expand(state.shape[0], -1, -1)
        tokens = self.scale.denormalise(state, frame)
        return self.autoencoder.decode(tokens, points, frame)


def export_onnx(model: Any, folder: Path) -> list[Path]:
    """Write the graphs and the page; their paths.

    Args:
        model: of a kind that `KINDS` says has graphs.
        folder: made if it is not there.

    Raises:
        ValueError: for a model of another kind, or whose samples start again on another path.
        ImportError: without the packages of the extra `onnx`.
    """
    if not KINDS[model.kind].has_graphs:
        known = ", ".join(repr(name) for name, kind in KINDS.items() if kind.has_graphs)
        raise ValueError(f"models of kind {known} have ONNX graphs, got one of kind {model.kind!r}")
    if model.config.restarts and model.config.interpolant != "linear":
        raise ValueError(
            "samples that start again are exported for the linear path alone, got "
            f"{model.config.interpolant}"
        )
    check_packages()
    folder.mkdir(parents=True, exist_ok=True)
    size = model.config.autoencoder
    state = torch.zeros(_BATCH, size.num_tokens, size.channels)
    batch, many = torch.export.Dim("batch"), torch.export.Dim("points")
    written = []
    if _generates(model):
        t, r = torch.full((_BATCH,), 0.25), torch.full((_BATCH,), 0.5)
        category = torch.zeros(_BATCH, dtype=torch.long)
        flow = {name: {0: batch} for name in ("state", "t", "r", "category")}
        _write(_Flow(model), (state, t, r, category), flow, "moved", folder / FLOW)
        written.append(folder / FLOW)
    points = torch.zeros(_BATCH, _POINTS, 3)
    decoder = {"state": {0: batch}, "points": {0: batch, 1: many}}
    _write(_Decoder(model), (state, points), decoder, "distance", folder / DECODER)
    write_json(folder / PAGE, _page(model))
    return [*written, folder / DECODER, folder / PAGE]


def check_packages() -> None:
    """Raise ImportError without the packages that write ONNX."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX needs its packages: pip install geoflow[onnx]") from error


def sample_latent(
    folder: Path, noise: Float[np.ndarray, "b k c"], category: int, *, steps: int = _STEPS
) -> Float[np.ndarray, "b k c"]:
    """States at time 1 of unit noise, by onnxruntime; for decoder.onnx.

    Args:
        folder: that `export_onnx` wrote.
        noise: unit Gaussian.
        category: index in the page's categories.
        steps: network evaluations.

    Raises:
        ImportError: without onnxruntime.
    """
    import onnxruntime

    page = json.loads((folder / PAGE).read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / FLOW)
    state = first = np.float32(page["noise_scale"]) * noise.astype(np.float32)
    index = np.full(len(noise), category, dtype=np.int64)
    grid, restarts = np.linspace(0.0, 1.0, steps + 1) ** page["grid_power"], page["restarts"]
    for i, (start, end) in enumerate(pairwise(grid)):
        if restarts and i:
            other = np.roll(first, max(i * first.shape[1] // steps, 1), axis=1)
            state = np.float32(1 - start) * other + np.float32(start) * state
        times = (start, 1.0 if restarts else end)
        t, r = (np.full(len(noise), time, dtype=np.float32) for time in times)
        (state,) = session.run(None, {"state": state, "t": t, "r": r, "category": index})
    return np.asarray(state)


def _generates(model: FieldGenerator) -> bool:
    """Whether the flow map was trained."""
    return any(network is model.flow_map for network in model.modules().values())


def _page(model: FieldGenerator) -> dict[str, Any]:
    size = model.config.autoencoder
    shape = ["batch", size.num_tokens, size.channels]
    decode = (
        "distance = decoder.onnx(state, points): negative inside; the shape is upright, +Y up, "
        "in the cube from -1 to 1"
    )
    page = {"geoflow": __version__, "kind": model.kind, "categories": list(model.categories)}
    if not _generates(model):
        return {**page, "state": shape, "sample": [decode]}
    path = model.flow_map.interpolant
    return {
        **page,
        "noise": shape,
        "noise_scale": model.config.temperature * float(path.alpha(torch.zeros(1))),
        "steps": _STEPS,
        "grid_power": model.config.grid_power,
        "restarts": model.config.restarts,
        "sample": [
            "state = noise_scale * unit Gaussian noise of the shape `noise`",
            *(_RESTARTS if model.config.restarts else _JUMPS),
            decode,
        ],
    }


def _write(
    module: nn.Module,
    given: tuple[Tensor, ...],
    dynamic: dict[str, dict[int, Any]],
    output: str,
    path: Path,
) -> None:
    draft = draft_of(path)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The exporter speaks of its own internals.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval().cpu(),
                given,
                dynamo=True,
                opset_version=_OPSET,
                input_names=list(dynamic),
                output_names=[output],
                dynamic_shapes=tuple(dynamic.values()),
                verbose=False,
            )
            assert program is not None, "the exporter gives a program"
            program.save(draft, external_data=False)
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
