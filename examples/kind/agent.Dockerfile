# The demo agent's image, for `make kind`. Build it from the repository's root.
FROM python:3.13-slim
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY operator/agentrelease operator/agentrelease
RUN uv venv /app && uv pip install --no-cache --python /app --constraint requirements.lock '.[agent]'
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
