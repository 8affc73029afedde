# A server without a GPU: docker build --build-arg CPU_INDEX=ADDRESS -t serenanet . (docs/ecosystem.md says of what)
#   docker run --rm -p 8000:8000 -v "$PWD/results:/models:ro" serenanet serve /models/CommonVoice/sw/serenanet/1986 --host 0.0.0.0
FROM python:3.12-slim-bookworm AS build
ARG CPU_INDEX=""
WORKDIR /build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY requirements.txt setup.py pyproject.toml MANIFEST.in LICENSE README.md ./
COPY recipes recipes
COPY hparams hparams
COPY serenanet_modules serenanet_modules
RUN left_out="triton${CPU_INDEX:+|nvidia-.*|cuda-.*}" \
    && sed -E "/^(${left_out})==/d" requirements.txt > pinned.txt \
    && if [ -n "$CPU_INDEX" ]; then sed -E -i 's/^(torch|torchaudio)==([0-9.]+)$/\1==\2+cpu/' pinned.txt; fi \
    && python -m venv /opt/serenanet \
    && /opt/serenanet/bin/pip install --no-cache-dir --no-deps ${CPU_INDEX:+--extra-index-url "$CPU_INDEX"} -r pinned.txt \
    && /opt/serenanet/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 1000 serenanet
COPY --from=build /opt/serenanet /opt/serenanet
ENV PATH=/opt/serenanet/bin:$PATH OMP_WAIT_POLICY=PASSIVE
USER 1000
WORKDIR /home/serenanet
EXPOSE 8000
ENTRYPOINT ["serenanet"]
CMD ["--help"]
