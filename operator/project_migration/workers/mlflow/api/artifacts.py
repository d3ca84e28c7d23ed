"""Where the artifacts of one side lie, and how files are listed, read and written there.

Three ways, the cheapest first: a mounted directory that stands for the URI; the server's own artifact service
(``mlflow-artifacts:``); for reading only, the server fetching from a store that it alone can reach.

A name is percent-encoded once. The server decodes again and again until nothing changes
(``validate_path_is_safe``), so some names cannot pass through it: :func:`cannot_pass` says which.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from project_migration.workers import reasons
from project_migration.workers.mlflow.api import failures
from project_migration.workers.mlflow.api.client import AJAX, A, Client
from project_migration.workers.mlflow.api.endpoint import Mounted
from project_migration.workers.mlflow.api.entities import File, Owner, Place
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed
from project_migration.workers.tree import open_root

PROXY = "api/2.0/mlflow-artifacts/artifacts"
#: Folders within folders that are followed.
DEEPEST = 64


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Sized(Protocol):
    """What is sent: ``requests`` asks for the length first."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


class Store(Protocol):
    def files(self, place: Place) -> Iterator[File]:
        """Every file below a place, however deep. Raises :class:`ObjectFailed` where the place cannot be listed."""

    def read(self, place: Place, path: str) -> AbstractContextManager[Readable]: ...

    def write(self, place: Place, path: str, content: Sized) -> None: ...


def store_of(client: Client, mounted: Mounted | None, uri: str, *, write: bool) -> Store:
    """The way to a URI. Raises :class:`ObjectFailed` when there is none."""
    if mounted is not None and below(uri, mounted.uri) is not None:
        return Folder(mounted)
    if proxied(client, uri) is not None:
        return Proxy(client)
    if write:
        raise ObjectFailed(
            f"the server gives no way to write to {scheme(uri)} addresses: start it with --serve-artifacts, set"
            " select.metadataOnly, or move by the database"
        )
    return Served(client)


def scheme(uri: str) -> str:
    return urlsplit(uri).scheme or "file"


def below(uri: str, prefix: str) -> str | None:
    """The rest of a URI below a prefix, at a boundary of the path; None when it lies elsewhere."""
    (kind, host, path), (other_kind, other_host, other_path) = _parts(uri), _parts(prefix)
    if (kind, host) != (other_kind, other_host):
        return None
    if path == other_path or not other_path:
        return path if path != other_path else ""
    return path[len(other_path) + 1 :] if path.startswith(f"{other_path}/") else None


def _parts(uri: str) -> tuple[str, str, str]:
    """Scheme, host and path; ``file:///a``, ``file:/a`` and ``/a`` are one place."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        return "", parts.netloc, (unquote(parts.path) if parts.scheme else uri).strip("/")
    return parts.scheme, parts.netloc, parts.path.strip("/")


def proxied(client: Client, uri: str) -> str | None:
    """The path within the server's artifact service, or None for a URI that it does not serve."""
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        here = urlsplit(client.endpoint.url).hostname
        return parts.path.strip("/") if parts.hostname in (None, here) else None
    own = f"{client.endpoint.url}/{PROXY}/"
    return uri[len(own) :] if uri.startswith(own) else None


def cannot_pass(path: str) -> str:
    """Why a name cannot go through a server's artifact service, or an empty text."""
    if any(not character.isprintable() and character != " " for character in path):
        return "its name holds characters that do not pass through the server"
    if unquote(path) != path or "#" in path:
        return "its name holds % or #, which the server would decode"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "its name has an empty part or dots"
    return ""


class Proxy:
    def __init__(self, client: Client) -> None:
        self._client = client

    def files(self, place: Place) -> Iterator[File]:
        return _walked(lambda path: self._listed(place, path))

    def children(self, uri: str) -> Iterator[str]:
        """Names of the folders right below a place."""
        listed = self._client.get(PROXY, {"path": proxied(self._client, uri) or ""}).get("files") or ()
        return (item["path"] for item in listed if item.get("is_dir"))

    def _listed(self, place: Place, path: str) -> list[tuple[str, bool, int | None]]:
        where = "/".join(part for part in (proxied(self._client, place.uri), path) if part)
        listed = self._client.get(PROXY, {"path": where}).get("files") or ()
        return [(os.path.basename(item["path"]), bool(item.get("is_dir")), _size(item)) for item in listed]

    @contextmanager
    def read(self, place: Place, path: str) -> Iterator[Readable]:
        with self._client.stream(self._address(place, path)) as response:
            yield _Body(response)

    def write(self, place: Place, path: str, content: Sized) -> None:
        data: Any = content
        self._client.send("PUT", self._address(place, path), data, {"Content-Type": "application/octet-stream"})

    def _address(self, place: Place, path: str) -> str:
        cause = cannot_pass(path)
        if cause:
            raise ObjectFailed(cause)
        return f"{PROXY}/{quote(proxied(self._client, place.uri) or '')}/{quote(path)}"


class Served:
    """Read only, through routes that fetch from the store of one run or logged model."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def files(self, place: Place) -> Iterator[File]:
        return _walked(lambda path: self._listed(place, path))

    def _listed(self, place: Place, path: str) -> list[tuple[str, bool, int | None]]:
        if place.owner is Owner.RUN:
            address, query = f"{A}/artifacts/list", {"run_id": place.id, "path": path}
        elif place.owner is Owner.LOGGED_MODEL:
            address = f"{A}/logged-models/{place.id}/artifacts/directories"
            query = {"artifact_directory_path": path}
        else:
            raise ObjectFailed(f"artifacts of a trace in {scheme(place.uri)} are not served")
        found: list[tuple[str, bool, int | None]] = []
        query = {name: value for name, value in query.items() if value}
        while True:
            answer = self._client.get(address, query)
            for item in answer.get("files") or ():
                found.append((os.path.basename(item["path"]), bool(item.get("is_dir")), _size(item)))
            if not answer.get("next_page_token"):
                return found
            query["page_token"] = answer["next_page_token"]

    @contextmanager
    def read(self, place: Place, path: str) -> Iterator[Readable]:
        if place.owner is Owner.RUN:
            address, query = "get-artifact", {"run_uuid": place.id, "path": path}
        elif place.owner is Owner.LOGGED_MODEL:
            address = f"{AJAX}/logged-models/{place.id}/artifacts/files"
            query = {"artifact_file_path": path}
        else:
            address, query = f"{AJAX}/get-trace-artifact", {"request_id": place.id}
        with self._client.stream(address, query) as response:
            yield _Body(response)

    def write(self, place: Place, path: str, content: Sized) -> None:
        raise ObjectFailed(f"{place.owner}: the server gives no way to write {path} ({len(content)} bytes)")


class Folder:
    """A mounted directory; every step is taken without following links."""

    def __init__(self, mounted: Mounted) -> None:
        self._mounted = mounted

    def files(self, place: Place) -> Iterator[File]:
        try:
            root = self._opened(place, "", make=False)
        except FileNotFoundError:
            return iter(())
        os.close(root)
        return _walked(lambda path: self._listed(place, path))

    def _listed(self, place: Place, path: str) -> list[tuple[str, bool, int | None]]:
        directory = self._opened(place, path, make=False)
        try:
            found: list[tuple[str, bool, int | None]] = []
            for entry in os.scandir(directory):
                kind = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(kind.st_mode) or stat.S_ISREG(kind.st_mode):
                    found.append((entry.name, stat.S_ISDIR(kind.st_mode), kind.st_size))
                else:  # a link or a device: told when it is read
                    found.append((entry.name, False, None))
            return found
        finally:
            os.close(directory)

    @contextmanager
    def read(self, place: Place, path: str) -> Iterator[Readable]:
        folder, name = os.path.split(path)
        directory = self._opened(place, folder, make=False)
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise ObjectFailed("it is a symbolic link") from error
            raise
        finally:
            os.close(directory)
        with open(handle, "rb", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ObjectFailed("it is no file")
            yield _File(stream)

    def write(self, place: Place, path: str, content: Sized) -> None:
        folder, name = os.path.split(path)
        directory = self._opened(place, folder, make=True)
        half = f".project-migration-{os.getpid()}-{abs(hash((place.id, path))):x}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(half, flags, 0o644, dir_fd=directory), "wb") as stream:
                while data := content.read(1 << 20):
                    stream.write(data)
            os.rename(half, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(half, dir_fd=directory)
            raise
        finally:
            os.close(directory)

    def _opened(self, place: Place, path: str, *, make: bool) -> int:
        """The descriptor of a directory, which the caller closes."""
        inside = f"{place.directory}/artifacts" if place.directory else below(place.uri, self._mounted.uri) or ""
        parts = [part for part in f"{inside}/{path}".split("/") if part]
        if any(part in (".", "..") or "\0" in part for part in parts):
            raise ObjectFailed("its address leads out of the mounted directory")
        return open_below(self._mounted.directory, parts, make=make)


def open_below(root: str, parts: Sequence[str], *, make: bool = False) -> int:
    """The descriptor of a directory below a root, reached without following a link; the caller closes it."""
    here = open_root(root)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            next_one = os.open(part, flags, dir_fd=here)
            os.close(here)
            here = next_one
    except BaseException:
        os.close(here)
        raise
    return here


class _Body:
    """A response's body; ``requests`` decodes nothing here, since no encoding was accepted."""

    def __init__(self, response: Any) -> None:
        self._raw = response.raw

    def read(self, size: int, /) -> bytes:
        data: bytes = self._raw.read(size, decode_content=True)
        return data


class _File:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        data: bytes = self._stream.read(size)
        return data


def _size(item: Mapping[str, Any]) -> int | None:
    value = item.get("file_size")
    return None if value is None else int(value)


def _walked(listed: Any) -> Iterator[File]:
    """Depth first, so that little waits at a time. ``listed`` gives name, whether a folder, and size."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        if folder.count("/") > DEEPEST:
            raise ObjectFailed(f"more than {DEEPEST} folders lie in each other")
        for name, is_folder, size in sorted(listed(folder)):
            path = f"{folder}/{name}" if folder else name
            if is_folder:
                waiting.append(path)
            else:
                yield File(path, size)


def gone(error: Exception) -> bool:
    """Whether what was asked for is not there."""
    return isinstance(error, FileNotFoundError) or (isinstance(error, Answer) and error.missing)


def no_space(error: OSError) -> failures.Refused | None:
    """The refusal that a full or read-only disk is; None for an error that concerns one file."""
    if error.errno not in reasons.ENDING_ERRORS:
        return None
    reason, passing = reasons.reason_of(error.errno)
    return failures.Refused(reason, f"target: {reasons.cause_of(error)}", passing)
