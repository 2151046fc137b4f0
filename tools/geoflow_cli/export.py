"""`geoflow export`."""

from __future__ import annotations

from geoflow_cli.errors import Failure, failing
from geoflow_cli.options import Export


def export(options: Export) -> None:
    """Write the graphs and their page.

    Raises:
        Failure: without the packages that write them, before the model is read.
    """
    from geoflow.models.kinds import load
    from geoflow.models.onnx import check_packages, export_onnx

    try:
        check_packages()
    except ImportError as error:
        raise Failure(str(error)) from error
    with failing():
        for path in export_onnx(load(options.model), options.out):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
