"""The command line: `geoflow COMMAND`, for COMMAND see `commands.COMMANDS`.

Arguments are parsed before torch is imported, so that help and usage errors come at once.
Exit codes: 0 done, 1 failure, 2 wrong usage, 130 and 143 interrupted and terminated.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from geoflow_cli.interruption import Interruption, close_output, open_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code; without arguments, of a process that ends with it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_output()
    with Interruption(is_last=arguments is None) as interruption:
        try:
            code = _run(words)
            sys.stdout.flush()
            interruption.over()
            return code
        except BrokenPipeError:
            interruption.over()
            return close_output()
        except KeyboardInterrupt as stop:
            interruption.over()
            return interruption.end("; ".join(map(str, stop.args)))
        except BaseException:
            # An import that is interrupted may end in any error.
            if interruption.number is None:
                raise
            interruption.over()
            return interruption.end()


def _run(words: list[str]) -> int:
    # The parser takes a moment to import, in which Ctrl-C is heard already.
    from geoflow import __version__
    from geoflow_cli.commands import command_of, overview
    from geoflow_cli.errors import Failure, UsageError

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
        command_of(words[0]).run(words[1:])
    except UsageError as error:
        print(f"geoflow: error: {error}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"geoflow: failed: {error}", file=sys.stderr)
        return 1
    return 0
