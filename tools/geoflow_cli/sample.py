"""`geoflow sample`: any kind of model, by its room in `geoflow_cli.kinds`."""

from __future__ import annotations

from geoflow.models.kinds import Kind
from geoflow_cli.checks import check_at_least, resolve_device
from geoflow_cli.errors import failing
from geoflow_cli.importing import uncollected
from geoflow_cli.options import SampleOptions


def sample(options: SampleOptions, kind: Kind) -> None:
    """Check against what the model is, load, generate, write, and print one line per sample."""
    check_at_least("steps", options.steps, 1)
    room = kind.on("geoflow_cli.kinds")
    with uncollected():
        from geoflow.models.base import describe

        model_class = kind.model_class()
    with failing():
        file = describe(options.model)
        room.check_sample(options, file)
    device = resolve_device(options.device)
    with failing():
        model = model_class.from_pretrained(options.model, device=device)
        room.sample(options, model)
