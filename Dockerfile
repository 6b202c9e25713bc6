# One image for every process of Sluice; the command chooses which (see docker-compose.yml).
FROM python:3.11-slim-bookworm AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/sluice/.venv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /opt/sluice
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-default-groups --no-install-project
COPY . .
RUN uv sync --frozen --no-default-groups

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home sluice \
    && mkdir -p /var/lib/sluice/files /var/lib/sluice/backups /var/lib/sluice/dagster /var/lib/sluice/dbt \
    && chown -R sluice:sluice /var/lib/sluice
COPY --from=build /opt/sluice /opt/sluice
# memory that an engine has used goes back to the system (see the launcher, ./sluice)
ENV PATH=/opt/sluice/.venv/bin:$PATH PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 \
    _RJEM_MALLOC_CONF=narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true \
    DUCKDB_JE_MALLOC_CONF=narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true
WORKDIR /opt/sluice
USER 10001
ENTRYPOINT ["python", "-m", "runtime"]
CMD ["--help"]
