"""Secrets that were made up for one test, and everything that is searched for them."""

from __future__ import annotations

import base64
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

#: What a helper runs, as it stands in a command line.
PROGRAMS = (b"project_migration", b"bin/pg_dump", b"bin/pg_restore", b"bin/psql")

#: A program of a helper runs for some tenths of a second.
EVERY_SECONDS = 0.05


def forms(secret: str) -> set[bytes]:
    """How a text of letters and digits looks when somebody wrote it down: plain, or within base64 at any offset."""
    found = {secret.encode()}
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + secret.encode())
        # the first and last groups hold bits of what stands beside it
        found.add(whole[4 if lead else 0 : -4])
    return found


def places_of(secrets: Iterable[str], texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """What of the named texts holds any of the secrets, packed files included."""
    wanted = {form for secret in secrets for form in forms(secret)}
    return [name for name, text in texts if any(form in part for form in wanted for part in (text, _unpacked(text)))]


def files_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()


def _unpacked(text: bytes) -> bytes:
    """What gzip or zlib packed, as a dump's files are."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(text)
    except zlib.error:
        return b""


class Processes:
    """Looks at this machine's processes again and again while the block runs."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: dict[str, set[bytes]] = defaultdict(set)
        """``cmdline`` and ``environ`` of those that run a helper's programs, as the kernel has them."""

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(30)

    def ran(self, program: str) -> bool:
        return any(program.encode() in line for line in self.seen["cmdline"])

    def texts(self) -> Iterator[tuple[str, bytes]]:
        for what, found in self.seen.items():
            yield what, b"\n".join(found)

    def _look(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                    if any(program in line for program in PROGRAMS):
                        self.seen["cmdline"].add(line)
                        self.seen["environ"].add((process / "environ").read_bytes())
                except OSError:  # it has ended
                    continue
