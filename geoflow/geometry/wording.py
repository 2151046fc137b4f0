"""What readers say of a file, in one line, however long the words are that they repeat of it."""

from __future__ import annotations

import re

_LONGEST_WORD, _SHOWN, _LONGEST_LINE = 120, 60, 500


def in_a_line(said: object) -> str:
    """An error or a name as one line: long words by their beginning, and of a long line its own."""
    line = " ".join(str(said).split())
    line = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: word[0][:_SHOWN] + "…", line)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
