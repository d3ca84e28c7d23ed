# The operator and its helpers: one image, several commands.
#
#   docker build -t project-migration-operator .
#   buildah build --build-arg BASE=localhost/base:2 -t project-migration-operator .
#
# BASE needs python3 (3.11 or later) with venv, and apt-get or PostgreSQL's client tools; `python` itself comes from our environment.
ARG BASE=python:3.12-slim

FROM ${BASE} AS builder
# pip lives in an environment of its own, so that the one we ship has none.
RUN python3 -m venv /build/pip && python3 -m venv --without-pip /opt/project-migration
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
WORKDIR /build/source
# The dependencies first: they change seldom, and a build cache keeps this layer.
# Helpers start often, on a read-only root: byte code is made here, and trusted without a look at the source.
# The Kubernetes client brings itself twice; we use the blocking half, and the other would be a third of our image.
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > /build/requirements.txt \
 && /build/pip/bin/pip --python /opt/project-migration/bin/python install --requirement /build/requirements.txt \
 && rm -rf /opt/project-migration/lib/python3*/site-packages/kubernetes/aio \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/project-migration/lib
COPY README.md LICENSE* ./
COPY operator operator
RUN /build/pip/bin/pip --python /opt/project-migration/bin/python install --no-deps . \
 && python3 -m compileall -q --invalidation-mode unchecked-hash \
      /opt/project-migration/lib/python3*/site-packages/project_migration

FROM ${BASE}
# Some bases come without the byte code of the standard library; where it is there, this adds nothing.
RUN python3 -c 'import compileall, re, sysconfig; compileall.compile_dir(sysconfig.get_path("stdlib"), quiet=2, workers=0, \
    rx=re.compile(r"/(test|tests|idlelib|lib2to3|ensurepip|turtledemo|site-packages|dist-packages)/"))'
# pg_dump, pg_restore and psql of the base's own major version; databases of a later one need a base that has later
# tools. Nothing is installed where the base brings them, or where the name is empty.
ARG POSTGRESQL_CLIENT=postgresql-client
RUN [ -z "${POSTGRESQL_CLIENT}" ] || command -v pg_dump >/dev/null \
 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
      "${POSTGRESQL_CLIENT}" && rm -rf /var/lib/apt/lists/*; }
COPY --from=builder /opt/project-migration /opt/project-migration
# SAFEPATH: a helper works among other people's files and must import none of them.
# LOGNAME, HOME: the user may be any number, and /etc/passwd knows none of them.
ENV PATH=/opt/project-migration/bin:$PATH \
    HOME=/tmp \
    LOGNAME=project-migration \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "project_migration"]
