"""`geoflow info`."""

from __future__ import annotations

import platform
from importlib import metadata, util

from geoflow import __version__
from geoflow_cli.errors import UsageError
from geoflow_cli.options import Info

_REQUIRED = ("torch", "numpy", "scipy", "scikit-image", "trimesh", "point-cloud-utils", "POT")
_OPTIONAL = {
    "open3d": "window of `geoflow view`",
    "viser": "browser viewer",
    "torch_cluster": "neighbour search",
    "pytorch3d": "neighbour search",
    "huggingface_hub": "models of the Hub",
}


def info(options: Info) -> None:
    """Print versions, devices, shipped models, optional packages and who finds neighbours."""
    import torch

    from geoflow.models.base import shipped
    from geoflow.models.kinds import KINDS

    print(f"geoflow {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in _REQUIRED:
        print(f"  {name} {metadata.version(name)}")
    devices = ["cpu"]
    devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    print(f"devices: {', '.join(devices)} ({torch.get_num_threads()} threads)")
    print(f"training: {_precision()}")
    print("shipped models:")
    for name, model in shipped().items():
        size = f"{model.path.stat().st_size / 1e6:.1f} MB"
        categories = f", categories: {', '.join(model.categories)}" if model.categories else ""
        print(f"  {name}: {KINDS[model.kind].makes} ({model.kind}), {size}{categories}")
    for name, use in _OPTIONAL.items():
        found = "found" if util.find_spec(name) else "not found"
        print(f"  {name}: {found} ({use})")
    print(f"neighbours: {_neighbours()}")


def _precision() -> str:
    from geoflow.training.precision import measure
    from geoflow_cli.checks import resolve_device

    measured = measure(resolve_device("auto"))
    return (
        f"{'bf16' if measured.bf16 else 'float32'} on {resolve_device('auto')} "
        f"(a product in bf16 takes {measured.ratio:.2f}x the time of one in float32)"
    )


def _neighbours() -> str:
    from geoflow.geometry.neighbors import BACKENDS, OPERATIONS, backend_for

    try:
        answers = {operation: backend_for(operation) for operation in OPERATIONS}
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
    parts = {
        name: ", ".join(operation for operation, by in answers.items() if by == name)
        for name in BACKENDS
    }
    return "; ".join(f"{operations} by {name}" for name, operations in parts.items() if operations)
