# The command line in a container, on CPUs:
#   docker build -t trading-gymnax .
#   docker run --rm -v "$PWD:/work" trading-gymnax train --phase 1 --run-dir runs/builtin
# With CUDA, whose libraries come with the packages; the host needs its driver and the container toolkit alone:
#   docker build -t trading-gymnax:cuda --build-arg EXTRAS=report,cuda .
#   docker run --rm --gpus all -v "$PWD:/work" trading-gymnax:cuda train --phase 1 --run-dir runs/builtin
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE MANIFEST.in _console_start.py ./
COPY trading_gymnax trading_gymnax
COPY purejaxrl_ppo purejaxrl_ppo
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG EXTRAS=report
COPY --from=wheel /wheels /wheels
RUN python -m pip install --no-cache-dir "$(ls /wheels/*.whl)[${EXTRAS}]" && rm -r /wheels \
    && useradd --create-home --uid 1000 trader
USER 1000
WORKDIR /work
ENTRYPOINT ["trading-gymnax"]
CMD ["--help"]
