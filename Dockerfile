# The build stage has pip and the sources; the final one has only the installed environment.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements-dev.lock ./
COPY core core
COPY sdk sdk
COPY plugins plugins
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/meshwright \
    && pip --python /opt/meshwright/bin/python install --no-cache-dir \
        --constraint requirements-dev.lock "$(echo /wheels/meshwright-*.whl)[compress,dns,redis]"

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Meshwright" \
      org.opencontainers.image.description="A programmable API gateway and service mesh" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 meshwright \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin meshwright
COPY --from=build /opt/meshwright /opt/meshwright
ENV PATH="/opt/meshwright/bin:$PATH" \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /etc/meshwright
EXPOSE 8080 8443
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9901/readyz', timeout=2)"]
ENTRYPOINT ["meshwright"]
CMD ["run", "/etc/meshwright/gateway.yaml"]
