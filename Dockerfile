# One image for everything that runs in a cluster: the exporter, the importer and the movers of volumes.
#
#   make docker-build                                   for this machine
#   make docker-build PLATFORMS=linux/amd64,linux/arm64 PUSH=1 IMAGE=registry.example.com/dr-syncer:0.1.0
#
# BASE_IMAGE is Debian 13 or newer, or what looks like it to apt: Python 3.11, git, OpenSSH and restic 0.18 must be among
# its packages. docs/how-to/build-the-image.md tells how one is made where no registry is reachable.
# Nothing here needs BuildKit.
ARG BASE_IMAGE=debian:trixie-slim

# --- what the system brings
FROM ${BASE_IMAGE} AS runtime
# restic < 0.18 cannot read what the movers rely on, and would be noticed in the night of the first restore.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates git openssh-client python3 restic \
    && dpkg --compare-versions "$(dpkg-query --show --showformat '${Version}' restic)" ge 0.18 \
    && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf /var/log/* /usr/share/doc /usr/share/man
# By number, so that Kubernetes can see that it is not root. With an entry, since ssh refuses to work without one.
RUN groupadd --gid 10001 dr-syncer \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin dr-syncer

# --- wheels, built once, and an environment made of nothing else
FROM runtime AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pip
# Where packages come from when not from PyPI; pip reads them from the environment, and the image does not keep them.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# The dependencies have a layer of their own: it stays when only our code has changed.
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && pip wheel --no-cache-dir --wheel-dir /wheels --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY cli cli
COPY drsyncer drsyncer
COPY exporter exporter
COPY importer importer
COPY transforms transforms
COPY volumes volumes
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
# Compiled here: the root file system is read-only where it runs, and compiling takes longer than starting.
# Unchecked, since no source in the image ever changes under its bytecode. Nobody here uses the asynchronous client.
RUN python3 -m venv --without-pip /opt/dr-syncer \
    && pip --python /opt/dr-syncer/bin/python install --no-cache-dir --no-compile --no-index --find-links /wheels dr-syncer \
    && python3 -m compileall -q -x /kubernetes/aio/ --invalidation-mode unchecked-hash /opt/dr-syncer/lib

# --- what is in it, for those who must know
FROM runtime AS sbom
COPY --from=build /opt/dr-syncer /opt/dr-syncer
COPY image/sbom.py /sbom.py
RUN /opt/dr-syncer/bin/python /sbom.py > /dr-syncer.cdx.json

# --- the image
FROM runtime
ARG BASE_IMAGE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="DR-Syncer" \
      org.opencontainers.image.description="Disaster recovery for Kubernetes through a Git repository and a restic repository" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
COPY --from=build /opt/dr-syncer /opt/dr-syncer
COPY --from=sbom /dr-syncer.cdx.json /usr/share/sbom/dr-syncer.cdx.json
# All that is ever written goes below HOME, TMPDIR and repository.cacheDir: with a volume at /tmp, the rest is read-only.
ENV PATH=/opt/dr-syncer/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["dr-syncer"]
CMD ["--help"]
