"""The command line in this process, which has imported everything, and in one of its own."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from geoflow_cli import main

# Wide lines, and no screen.
_AROUND = {"COLUMNS": "200", "DISPLAY": "", "WAYLAND_DISPLAY": ""}


def environment():
    return os.environ | _AROUND


def geoflow(*arguments, cwd=None):
    """What a command in this process does, as if it were one: code, output and errors."""
    words = [str(word) for word in arguments]
    out, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _AROUND.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        with redirect_stdout(out), redirect_stderr(errors):
            try:
                code = main(words)
            except SystemExit as end:
                code = end.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def process(*arguments, cwd=None):
    """A command as a user types it."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "geoflow", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(),
        timeout=300,
        check=False,
    )
