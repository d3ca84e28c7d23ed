"""Making all that takes long, before a test whose time is limited has to wait for it."""

from concurrent.futures import ThreadPoolExecutor

from tests.cluster.node import build, helm, packages, program

IMAGES = (build.PROJECT, build.POSTGRES, build.PROJECT_POSTGRES_18, build.MLFLOW)


def everything() -> None:
    """Programs and images, from what is there if nothing has changed."""
    packages.ensure()
    with ThreadPoolExecutor() as pool:
        images = pool.submit(build.ensure, *IMAGES)  # waits for the network where compilers need the processors
        program.ensure()
        helm.ensure()
        images.result()
