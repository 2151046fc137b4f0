"""Images in few steps: the trade-off of the cumulative-flow-map paper, on small pictures.

One small transformer over patches is trained in every way for the same processor time. Two rows are
many-step models, sampled by as many first-order steps (on the variance-preserving path, that is
DDIM); the others jump. `frechet` is the squared Frechet distance of features (features.py) from
held-out pictures, whose `floor` is that of other held-out ones, as many. `to_training` tells
copies, as in distillation.py: 0 for these, 1 for samples as far from the pictures to learn from as
held-out ones.

What differs from the paper: pictures of 28 or 32 pixels and not CelebA-HQ at 256 in the latents of
an autoencoder, minutes of a processor, a network of 0.2 million parameters and not DiT-B/2, and
features of a network trained here and not Inception's: trends compare, values don't.

Reference: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow_tools.bench.distillation import newness
from geoflow_tools.bench.ladder import ODE_STEPS, Budget, Rung, start_noise, train
from geoflow_tools.bench.papers.features import FeatureNetwork, frechet_distance, train_features
from geoflow_tools.bench.papers.patch_transformer import PatchTransformer, PatchTransformerConfig
from geoflow_tools.bench.papers.pictures import Pictures, digits28
from geoflow_tools.bench.papers.renderings import renderings

DATA: dict[str, Callable[[int, int], Pictures]] = {
    "digits28": digits28,
    "renderings": renderings,
}
"""Draws of so many pictures to learn from, and so many held out, twice."""
STEPS = (1, 2, 4)
_MANY = "flow-matching"
VARIANTS = {
    "flow matching, u": Rung(_MANY, prediction="u"),
    "DDIM": Rung(_MANY, "vp"),
    "MeanFlow": Rung("mean-flow", prediction="u"),
    "cumulative, u": Rung("cumulative", prediction="u", derivative="average"),
    "cumulative, x1": Rung("cumulative", derivative="average"),
    "cumulative, x1, pooled": Rung("cumulative", derivative="average", pooled=True),
    "cumulative, DDIM": Rung("cumulative", "vp", derivative="average"),
    "shortcut": Rung("shortcut", prediction="x1"),
}
"""Rows of the table: a name, and what is trained."""
PAPER = {
    "DDIM": {"128": 23.0, "4": 123.4, "1": 132.2},
    "CFM-DDIM": {"128": 19.2, "4": 17.5, "1": 24.9},
}
"""FID on CelebA-HQ 256 by steps, of arXiv:2605.03623."""


@dataclass(frozen=True)
class ImagesTable:
    """Train one network on pictures in every way, and score samples in few steps and in many."""

    data: Literal["digits28", "renderings"] = "digits28"
    """Pictures: handwritten digits, or shaded procedural chairs."""
    rows: tuple[str, ...] = tuple(VARIANTS)
    """Keys of VARIANTS to train."""
    examples: int = 4_000
    """Pictures to learn from; of digits28 there are no more, and a rendering takes 0.05 s."""
    samples: int = 500
    """Samples to compare, and pictures of each held-out set."""
    seconds: float = 30.0
    """Processor time of each training, on one thread."""
    feature_seconds: float = 15.0
    """Processor time of the network of features."""
    batch: int = 32
    """Pictures of a step."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW."""
    width: int = 64
    """Channels of the transformer."""
    blocks: int = 3
    """Blocks of it; it reads 4 x 4 patches of a picture."""
    seed: int = 0
    """Of weights, batches and times."""
    sheet: Path | None = None
    """Picture of samples to write."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: for unknown rows, a time that is none, or pictures that aren't there.
        """
        if set(self.rows) - set(VARIANTS):
            raise ValueError(f"rows are {', '.join(VARIANTS)}; got {', '.join(self.rows)}")
        if not min(self.seconds, self.feature_seconds) > 0:
            found = f"{self.seconds} and {self.feature_seconds}"
            raise ValueError(f"seconds of trainings must be positive, got {found}")
        torch.set_num_threads(1)
        pictures = DATA[self.data](self.examples, self.samples)
        network, explained = train_features(pictures, seconds=self.feature_seconds)
        reference, other = network(pictures.reference), network(pictures.other)
        rows: dict[str, Any] = {}
        drawn: dict[str, dict[str, Tensor]] = {}
        for name in track(self.rows, description="rows"):
            steps, drawn[name] = self._drawn(VARIANTS[name], pictures)
            scores = {n: _score(x, pictures, network, reference) for n, x in drawn[name].items()}
            rows[name] = {"training_steps": steps} | {
                measure: {n: found[measure] for n, found in scores.items()}
                for measure in ("frechet", "to_training")
            }
        if self.sheet is not None:
            from geoflow_tools.bench.papers.image_sheet import draw_sheet

            draw_sheet(drawn, pictures, self.sheet)
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "data": self.data,
            "budget": asdict(self._budget()),
            "features": {"explained": explained, "floor": frechet_distance(other, reference)},
            "rows": rows,
            "paper, FID": PAPER,
        }

    def _budget(self) -> Budget:
        return Budget(
            seconds=self.seconds,
            batch=self.batch,
            width=self.width,
            learning_rate=self.learning_rate,
            ema=0.99,
        )

    def _drawn(self, rung: Rung, pictures: Pictures) -> tuple[int, dict[str, Tensor]]:
        """Train a row; the steps that it took, and its samples by evaluations."""
        torch.manual_seed(self.seed)
        patch = pictures.size // 4
        config = PatchTransformerConfig(pictures.size, patch, self.width, self.blocks)
        path = INTERPOLANTS[rung.interpolant]()
        flow_map = FlowMap(PatchTransformer(config), path, rung.prediction)
        budget = self._budget()
        pool = budget.pool if rung.pooled else 0
        trained = train(flow_map, rung.build(), pictures.train, budget, seed=self.seed, pool=pool)
        steps, found = trained[0], trained[1].module
        # Without a jump of its own, a many-step model takes first-order steps.
        jumps = found.diagonal() if rung.objective == _MANY else found
        noise = start_noise(pictures.reference)
        drawn = {str(n): _last(sample_flow_map(jumps, noise, steps=n)) for n in STEPS}
        drawn[f"{ODE_STEPS} ode"] = _last(sample_ode(found, noise, steps=ODE_STEPS))
        return steps, drawn


@torch.no_grad()
def _last(states: Iterator[Float[Tensor, "n d"]]) -> Float[Tensor, "n d"]:
    *_, end = states
    return end


def _score(
    samples: Float[Tensor, "n d"],
    pictures: Pictures,
    network: FeatureNetwork,
    reference: Float[Tensor, "k f"],
) -> dict[str, float | None]:
    """Distances from held-out pictures and from those to learn from; None if not finite."""
    if not bool(samples.isfinite().all()):
        return {"frechet": None, "to_training": None}
    return {
        "frechet": frechet_distance(network(samples), reference),
        "to_training": newness(samples, pictures.train, pictures.reference),
    }
