# syntax=docker/dockerfile:1
# `make docker-build` takes the public base images. Where no registry can be reached, `hack/image` makes
# others of distribution packages: any two with the same Python, 3.11 or newer, in /usr or /usr/local.
ARG BUILD_IMAGE=python:3.13-slim
ARG BASE_IMAGE=python:3.13-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv /opt/observatory
COPY requirements.lock requirements-build.lock ./
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements-build.lock
RUN /opt/observatory/bin/pip install --no-cache-dir --no-compile --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY observatory ./observatory
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/observatory/bin/pip install --no-compile --no-index --no-deps /wheels/*.whl
# Half of the Kubernetes client is an asyncio twin of the other half, and is not used: 68 MB. Compiled
# here, since the root file system is read-only where it runs; by content and not by time, so that
# equal sources make equal bytes.
RUN rm -r /opt/observatory/lib/python3*/site-packages/kubernetes/aio \
 && /opt/observatory/bin/pip uninstall --yes --quiet pip setuptools \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/observatory

FROM ${BASE_IMAGE}
COPY --from=build /opt/observatory /opt/observatory
ENV PATH=/opt/observatory/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080 8081 8443 9443
ENTRYPOINT ["observatory"]
CMD ["run"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
ENV OBSERVATORY_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Observatory Operator" \
      org.opencontainers.image.description="Runs DAGs of container tasks that are written as Kubernetes objects" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The Observatory Operator Authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
