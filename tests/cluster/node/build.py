"""Building the project's own image from the very Dockerfile that its users build."""

from pathlib import Path

from tests.cluster.node import images, packages
from tests.cluster.node.place import REPOSITORY, cache
from tests.cluster.node.shell import run, step, words
from tests.cluster.node.store import digest, lock

IMAGE = "localhost/project-migration-operator:dev"

MOST_IMAGES = 40

# What pip needs on this machine to reach its index, it needs inside the build too.
PASSED_ON = ("/etc/pip.conf", "/etc/ssl/certs")


def ensure() -> Path:
    """The archive of the image; layers whose sources have not changed are taken from the last build."""
    packages.ensure("buildah", "debootstrap")
    target = cache() / "builds" / f"project-{digest([str(REPOSITORY)])}.tar"
    with lock("build"):
        if not _buildah("images", "--quiet", "--filter", f"reference={images.BASE}"):
            _buildah("pull", f"docker-archive:{images.base()}")
        with step(f"building {IMAGE}", slow="a minute the first time"):
            identity = _build()
        note = target.with_suffix(".id")
        if not (note.exists() and target.exists() and note.read_text() == identity):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            with step(f"writing {target}"):
                _buildah("push", IMAGE, f"docker-archive:{target}:{IMAGE}")
            note.write_text(identity)
        _forget_old()
    return target


def _forget_old() -> None:
    """Each change of a source leaves its layers behind; once there are many, all but the last go."""
    if len(_buildah("images", "--quiet", "--all").splitlines()) > MOST_IMAGES:
        _buildah("rmi", "--prune", "--force")


def _build() -> str:
    """Build, and give the image's identity."""
    volumes = [f"--volume={path}:{path}:ro" for path in PASSED_ON if Path(path).exists()]
    _buildah(
        "build",
        "--isolation=chroot",
        "--network=host",
        "--layers",
        f"--build-arg=BASE={images.BASE}",
        *volumes,
        f"--file={REPOSITORY}/Dockerfile",
        f"--tag={IMAGE}",
        str(REPOSITORY),
    )
    return _buildah("images", "--quiet", "--no-trunc", "--filter", f"reference={IMAGE}")


def _buildah(*arguments: str) -> str:
    storage = cache() / "builds"
    places = words("--root", storage / "root", "--runroot", storage / "run", "--storage-driver=overlay")
    return run("nice", "buildah", *places, *arguments, timeout=1200).stdout.strip()
