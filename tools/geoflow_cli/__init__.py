"""The command line: `geoflow train | sample | evaluate | rig | view | info`.

Arguments are parsed before torch is imported, so that help and usage errors come at once.
Exit codes: 0 done, 1 failure, 2 wrong usage.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Annotated

import tyro

from geoflow import __version__
from geoflow_cli.errors import Failure, UsageError, one_line
from geoflow_cli.options import Evaluate, Info, Rig, Sample, Train, View

_Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Sample, tyro.conf.subcommand("sample")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Rig, tyro.conf.subcommand("rig")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)
_DESCRIPTION = "Generate 3D geometry in one to four network evaluations."


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(__version__)
        return 0
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            command = tyro.cli(_Command, prog="geoflow", description=_DESCRIPTION, args=arguments)
    except SystemExit as end:
        if end.code != 0:
            print(f"geoflow: error: {one_line(said.getvalue())}", file=sys.stderr)
        raise
    try:
        command.run()
    except UsageError as error:
        print(f"geoflow: error: {error}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"geoflow: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("; ".join(["geoflow: interrupted", *map(str, stop.args)]), file=sys.stderr)
        return 130
    return 0
