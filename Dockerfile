# libvirt-lifecycle-exporter as a small image: `make image`, or with any builder of such files,
#   docker build --tag libvirt-lifecycle-exporter .
# The base is an argument: a mirror's copy of it, or another Debian. Only Debian's packages and PyPI's wheels go in,
# so every architecture that Debian has will do (buildx: --platform linux/amd64,linux/arm64).
ARG BASE=debian:trixie-20260918-slim@sha256:a99cfc517144bc59b1978475ec53b46ecabec7e43635402ee5b77cc54cd1b20a

# libvirt-python has no wheels: it is compiled against libvirt's headers, which stay behind in this stage.
FROM ${BASE} AS build
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
        ca-certificates gcc libc6-dev libvirt-dev pkg-config python3-dev python3-venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY constraints.txt requirements-hashed*.txt ./
# An extra of the package; none with --build-arg EXTRA=
ARG EXTRA=grpc
RUN python3 -m venv /opt/libvirt-lifecycle-exporter \
    && pip=/opt/libvirt-lifecycle-exporter/bin/pip \
    && $pip install -q -c constraints.txt pip \
    && $pip install -q --require-hashes -r requirements-hashed.txt ${EXTRA:+-r requirements-hashed-$EXTRA.txt}
COPY pyproject.toml README.md LICENSE ./
COPY exporter ./exporter
RUN pip=/opt/libvirt-lifecycle-exporter/bin/pip \
    && $pip install -q --no-deps --build-constraint constraints.txt . \
    && $pip check \
    && $pip uninstall -q -y pip \
    && find /opt/libvirt-lifecycle-exporter -name '*.so' -exec strip --strip-unneeded {} +

FROM ${BASE}
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
        ca-certificates libvirt0 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && install -d -o 65534 -g 65534 /var/lib/libvirt-lifecycle-exporter
COPY --from=build /opt/libvirt-lifecycle-exporter /opt/libvirt-lifecycle-exporter
ENV PATH=/opt/libvirt-lifecycle-exporter/bin:/usr/local/bin:/usr/bin:/bin \
    LIBVIRT_LIFECYCLE_EXPORTER_JOURNAL_PATH=/var/lib/libvirt-lifecycle-exporter/journal.sqlite \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root; and nobody, since libvirt refuses users that its own
# host does not know: this is the one that every host has.
USER 65534:65534
EXPOSE 10177
# Says nothing of libvirt: an exporter whose libvirt is down is well, and says so.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-m", "libvirt_lifecycle_exporter.cli.healthcheck"]
ENTRYPOINT ["libvirt-lifecycle-exporter"]
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="libvirt-lifecycle-exporter" \
    org.opencontainers.image.description="Which of my libvirt domains crashed, hung, stopped or moved, when, and why" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
