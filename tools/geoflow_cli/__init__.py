"""The command line: `geoflow COMMAND`, for COMMAND see `commands.COMMANDS`.

Arguments are parsed before torch is imported, so that help and usage errors come at once.
Exit codes: 0 done, 1 failure, 2 wrong usage.
"""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Sequence

from geoflow import __version__
from geoflow_cli.commands import COMMANDS, Command, overview
from geoflow_cli.errors import Failure, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # Names of files may be no text at all, and must not end a command that prints them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if words == ["--version"]:
        print(__version__)
        return 0
    if words in ([], ["-h"], ["--help"]):
        print(overview())
        return 0 if words else 2
    try:
        _command(words[0]).run(words[1:])
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


def _command(word: str) -> Command:
    if word not in COMMANDS:
        near = difflib.get_close_matches(word, COMMANDS, n=1)
        meant = f"perhaps {near[0]} was meant" if near else f"expected {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command {word!r}; {meant}")
    return COMMANDS[word]
