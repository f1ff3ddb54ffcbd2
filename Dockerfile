# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim

# Builds the virtual environment and /app at the paths where they will run.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
# requirements/tracing.txt adds OpenTelemetry.
ARG REQUIREMENTS=requirements/runtime.txt
COPY ${REQUIREMENTS} requirements/
# By hash, and wheels only: a source package would need a compiler. pip stays outside of the environment.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-compile --only-binary :all: --require-hashes \
       -r "${REQUIREMENTS}"
COPY pyproject.toml README.md ./
COPY service/ service/
COPY migrations/ migrations/
COPY make/wheel.py make/
# Editable, since aerich wants migrations and pyproject.toml beside the package; built by the lock's own
# setuptools. The bytecode is compiled here, as the final file system is read-only, and never checked against its source.
RUN python -m pip --python /opt/venv/bin/python install --no-compile --no-index --no-deps --no-build-isolation --editable . \
    && rm -rf requirements README.md make ./*.egg-info build \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv service migrations

FROM ${PYTHON_IMAGE}
ARG VERSION=0.0.0+unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="tasks-service" \
      org.opencontainers.image.description="A multi-tenant tasks API on Sanic and PostgreSQL" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
# The base's own pip is of no use in a container that never installs anything, but to an intruder.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip /usr/local/lib/python3*/site-packages/pip-* \
       /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/pydoc* \
    && echo 'tasks:x:10001:10001::/app:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'tasks:x:10001:' >>/etc/group
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TASKS_SERVICE_COMMIT=${COMMIT}
USER 10001:10001
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
