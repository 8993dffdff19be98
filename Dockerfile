# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/observatory
COPY pyproject.toml README.md LICENSE ./
COPY observatory ./observatory
# Bytecode is compiled here: the root file system is read-only where it runs.
RUN /opt/observatory/bin/pip install --no-cache-dir --compile . \
    && /opt/observatory/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/observatory /opt/observatory
ENV PATH=/opt/observatory/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080 8081 8443
ENTRYPOINT ["observatory"]
CMD ["run"]
