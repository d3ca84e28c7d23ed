"""Where words go. Nobody listening is no reason to stop a migration half-way: `run … | head -1` has to end well."""

from __future__ import annotations

import os
import sys
from typing import IO, Any, cast

from rich.console import Console


class Unbroken:
    """Standard output that swallows what nobody reads any more: a closed pipe, a terminal that is gone."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        """Also what is left in the buffer, which Python writes when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """For words to people. Figures are not coloured: they are data, not syntax."""
    stream = Unbroken(sys.stderr if stderr else sys.stdout)
    return Console(file=cast(IO[str], stream), quiet=quiet, highlight=False)
