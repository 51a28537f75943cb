# ATML for the services of docker-compose.yml: searching, serving and predicting on segments, as a user without
# rights. It has no readers of WFDB, EDF and Parquet, no MLflow and no compilers.
FROM python:3.13-slim AS build

# PyTorch without CUDA by default; docker-compose.gpu.yml names the index that has it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /src
RUN python -m venv /opt/atml
ENV PATH=/opt/atml/bin:$PATH
# PyTorch alone first: it is large and changes seldom, so this layer is seldom made again.
COPY constraints.txt .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY atml atml
COPY studies studies
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint constraints.txt '.[postgres,s3]'


FROM python:3.13-slim

COPY --from=build /opt/atml /opt/atml
COPY studies /work/studies
ENV PATH=/opt/atml/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=16777216 \
    ATML_ARTIFACTS=/var/lib/atml/artifacts \
    ATML_CACHE=/var/lib/atml/cache

# A new volume takes its owner from the folder that it is mounted on.
RUN useradd --system --uid 10001 --home-dir /work atml \
    && mkdir -p /var/lib/atml/artifacts /var/lib/atml/cache /work/results \
    && chown -R atml:atml /var/lib/atml /work/results \
    && chown atml:atml /work
USER atml
WORKDIR /work
ENTRYPOINT ["atml"]
CMD ["--help"]
