# The service and its page: docker build -t camtrace .
# docs/packaging.md says how it is started, and what it may not do.
FROM python:3.13-slim-bookworm AS wheel
WORKDIR /source
RUN pip install --no-cache-dir hatchling==1.33.0
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
RUN python -m hatchling build -t wheel -d /wheels

FROM python:3.13-slim-bookworm
COPY requirements/image.txt /requirements.txt
RUN pip install --no-cache-dir --no-compile --require-hashes -r /requirements.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin camtrace \
    && install -d -o camtrace -g camtrace /bundles
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /bundles
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4).read()"]
# Beyond the loopback the service demands a token of 16 characters or more: set CAMTRACE_TOKEN, or it does not start
ENTRYPOINT ["camtrace"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--keep", "/bundles"]
