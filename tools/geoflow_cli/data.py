"""`geoflow data`: sets of shapes that are known, and preparing any source of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from geoflow_cli.checks import check_at_least
from geoflow_cli.data_options import About, Get, List, Prepare
from geoflow_cli.errors import Failure, UsageError, failing

if TYPE_CHECKING:
    from geoflow_datasets.prepared.engines import Engine
    from geoflow_datasets.prepared.makers import Job, Made
    from geoflow_datasets.prepared.prepare import Options

# A process takes so much before it has read anything, in GB.
_LEAST_MEMORY = 0.6


def list_sets(options: List) -> None:
    """Print a line for each set."""
    from geoflow_datasets.cards import CARDS

    for name, card in CARDS.items():
        print(f"{name:16}{card.num:>8,} {card.kind:7}{card.title}: {card.licence}")


def about(options: About) -> None:
    """Print a card.

    Raises:
        UsageError: for an unknown set, with the nearest.
    """
    from geoflow_datasets.cards import card_of

    with failing():
        card = card_of(options.name)
    said = {
        "origin": card.origin,
        "reference": card.reference,
        "licence": card.licence,
        "shapes": f"{card.num:,} {card.kind}, +{card.up.upper()} up",
        "categories": card.categories,
        "splits": card.splits,
        "checksum": f"SHA-256 {card.checksum} of {card.file}"
        if card.checksum
        else "none published",
        "note": card.note,
    }
    print(card.title)
    for name, text in said.items():
        if text:
            print(f"  {name + ':':12}{text}")
    print("to obtain it:")
    for step in card.obtain:
        print(f"  {step}")
    given = "" if card.place else " --source DOWNLOADED"
    print(f"then: geoflow data get {options.name}{given} --out {options.name}")


def get(options: Get) -> None:
    """Prepare a set that is on this machine.

    Raises:
        UsageError: for an unknown set, or a file that is not the set's.
        Failure: if it is not there, with the steps to obtain it.
    """
    from geoflow_datasets.cards import card_of, check_file

    with failing():
        card = card_of(options.name)
        source = options.source or card.place
        if source is None or not source.exists():
            steps = "; ".join(card.obtain)
            lacks = f"{source} is not there" if source else f"{card.title} is not fetched for you"
            raise Failure(
                f"{lacks}: {steps}; then geoflow data get {options.name} "
                f"{'' if card.place else '--source DOWNLOADED '}--out {options.out}"
            )
        if source.is_file() and check_file(card, source):
            print(f"{source}: its checksum is that of {card.title}")
    print(f"{card.title}: {card.licence}")
    prepare(
        Prepare(
            source, options.out, card.kind, up=card.up, workers=options.workers,
            progress=options.progress,
        )
    )  # fmt: skip


def prepare(options: Prepare) -> None:
    """Make what is new in a source, and say what became of it.

    Raises:
        UsageError: for options that are out of range or do not go together.
        Failure: if all files are refused.
    """
    if not options.seconds > 0:
        raise UsageError(f"--seconds must be above 0, got {options.seconds:g}")
    if not options.memory >= _LEAST_MEMORY:
        raise UsageError(f"--memory must be at least {_LEAST_MEMORY}, got {options.memory:g}")
    if options.workers is not None:
        check_at_least("workers", options.workers, 1)
    if options.address is not None and options.engine != "ray":
        raise UsageError("--address is of a Ray cluster: add --engine ray, or leave it out")
    from geoflow_datasets.prepared.prepare import REPORT
    from geoflow_datasets.prepared.prepare import prepare as prepare_source
    from geoflow_datasets.prepared.source import describe
    from geoflow_datasets.request import Request
    from geoflow_tools.prepared_sheet import write_sheet

    with failing():
        options = replace(options, kind=_kind(options))
        chosen = _options(options)
        done = prepare_source(
            options.source,
            options.out,
            chosen,
            engine=_engine(options, chosen),
            show_progress=options.progress,
        )
        print(describe(Request(str(options.out))))
        print(f"{options.out / REPORT}: {done.made:,} made now, {done.read:,} files read")
        sheet = write_sheet(options.out)
    if sheet is not None:
        print(f"{sheet}: picture of what was refused or is doubtful")
    if not done.taken:
        raise Failure(f"all {done.refused:,} files of {options.source} were refused")
    kind = "" if options.kind == "meshes" else "--kind points "
    print(f"try: geoflow train {kind}--data {options.out} --shape-category all")


def _kind(options: Prepare) -> Literal["meshes", "clouds"]:
    from geoflow_datasets.prepared.prepare import kind_of

    if options.kind != "auto":
        return options.kind
    return "clouds" if kind_of(options.source) == "clouds" else "meshes"


def _engine(options: Prepare, chosen: Options) -> Engine[Job, Made]:
    from geoflow_datasets.prepared.engines import ENGINES, Crew
    from geoflow_datasets.prepared.makers import make

    try:
        return ENGINES[options.engine](make, Crew(chosen.limits, options.workers, options.address))
    except ImportError as error:
        raise Failure(str(error)) from error


def _options(options: Prepare) -> Options:
    from geoflow_datasets.cloud_folder import CloudOptions
    from geoflow_datasets.mesh_folder import MESHES, MeshOptions
    from geoflow_datasets.mesh_sdf import THICKNESS
    from geoflow_datasets.prepared.limited import Limits
    from geoflow_datasets.prepared.prepare import Options

    limits = Limits(options.seconds, options.memory * 1e9)
    if options.kind == MESHES.kind:
        thickness = THICKNESS if options.thickness is None else options.thickness
        shapes = MeshOptions(options.up, thickness=thickness, keep_cavities=options.keep_cavities)
        return Options(shapes, options.category, limits)
    if options.thickness is not None or options.keep_cavities:
        raise UsageError("clouds have no parts: leave out --thickness and --keep-cavities")
    return Options(CloudOptions(options.up), options.category, limits)
