"""`python -m geoflow_tools.bench NAME`: run a benchmark, print and write its JSON."""

from __future__ import annotations

import json

import tyro

from geoflow.atomic import write_text
from geoflow_tools.bench.completion import CompletionBenchmark
from geoflow_tools.bench.distillation import DistillationBenchmark
from geoflow_tools.bench.distribution import DistributionBenchmark
from geoflow_tools.bench.functional import FunctionalBenchmark
from geoflow_tools.bench.gpu import GpuBenchmark
from geoflow_tools.bench.grid import GridBenchmark
from geoflow_tools.bench.inversion import InversionBenchmark
from geoflow_tools.bench.muon import MuonBenchmark
from geoflow_tools.bench.neighbours import NeighboursBenchmark
from geoflow_tools.bench.objectives import ObjectivesBenchmark
from geoflow_tools.bench.papers.tables import PapersBenchmark
from geoflow_tools.bench.points import PointsBenchmark
from geoflow_tools.bench.pose import PoseBenchmark
from geoflow_tools.bench.preparation import PreparationBenchmark
from geoflow_tools.bench.queue import QueueBenchmark
from geoflow_tools.bench.reconstruction import ReconstructionBenchmark
from geoflow_tools.bench.rig import RigBenchmark
from geoflow_tools.bench.sample import SampleBenchmark
from geoflow_tools.bench.set_distances import SetDistancesBenchmark
from geoflow_tools.bench.signs import SignsBenchmark
from geoflow_tools.bench.solids import SolidsBenchmark
from geoflow_tools.bench.steps import StepsBenchmark
from geoflow_tools.bench.stream import StreamBenchmark
from geoflow_tools.bench.viewer import ViewerBenchmark


def main() -> None:
    """Parse, measure, print, write."""
    options = tyro.extras.subcommand_cli_from_dict(
        {
            "sample": SampleBenchmark,
            "objectives": ObjectivesBenchmark,
            "completion": CompletionBenchmark,
            "distillation": DistillationBenchmark,
            "distribution": DistributionBenchmark,
            "functional": FunctionalBenchmark,
            "gpu": GpuBenchmark,
            "grid": GridBenchmark,
            "inversion": InversionBenchmark,
            "muon": MuonBenchmark,
            "neighbours": NeighboursBenchmark,
            "papers": PapersBenchmark,
            "points": PointsBenchmark,
            "pose": PoseBenchmark,
            "preparation": PreparationBenchmark,
            "queue": QueueBenchmark,
            "reconstruction": ReconstructionBenchmark,
            "rig": RigBenchmark,
            "set-distances": SetDistancesBenchmark,
            "signs": SignsBenchmark,
            "solids": SolidsBenchmark,
            "steps": StepsBenchmark,
            "stream": StreamBenchmark,
            "viewer": ViewerBenchmark,
        },
        prog="geoflow_tools.bench",
        description=__doc__,
    )
    text = json.dumps(options.measure(), indent=2)
    print(text)
    if options.out is not None:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()
