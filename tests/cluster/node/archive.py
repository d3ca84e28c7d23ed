"""Writing a container image by hand: one layer in the archive format of ``docker save``."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Go's names, which images use, where they differ from the kernel's.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(target: Path, *, name: str, layer: Path, entrypoint: Sequence[str] = (), command: Sequence[str] = ()) -> None:
    """An image of this name whose only layer is a tar archive of its files."""
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": list(entrypoint), "Cmd": list(command), "Env": [PATH, "LANG=C.UTF-8"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": name}],
    }
    document = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(document).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar"]}]
    with tarfile.open(target, "w") as archive:
        _add(archive, config_name, document)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
        archive.add(layer, arcname=f"{digest}.tar")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
