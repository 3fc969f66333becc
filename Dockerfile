# Airflow's components and the library, for docker-compose.yaml and deploy/kubernetes. One image for all of them.
FROM python:3.11-slim AS build
WORKDIR /opt/rescore
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir uv==0.13.9
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY include ./include
# uv stays: workers build environments of packages that were made with other versions (rescore env build).
# The lock says which versions and which files (hashes); the project's own extras say which of them.
# What everybody may write to, uv's lock file, does not stay.
RUN VIRTUAL_ENV=/opt/venv /opt/venv/bin/uv pip install --no-cache --compile-bytecode \
      --constraints requirements.txt '.[airflow,celery,kubernetes,signing]' \
    && rm -f /opt/venv/.lock

FROM python:3.11-slim
# Numbers must not depend on the number of cores: one thread per process, set before numpy is loaded.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TZ=UTC \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    BLIS_NUM_THREADS=1 \
    NUMEXPR_NUM_THREADS=1 \
    VECLIB_MAXIMUM_THREADS=1 \
    AIRFLOW_HOME=/opt/airflow \
    RESCORE_HOME=/opt/airflow/rescore \
    RESCORE_MODELS=/opt/rescore/include/models \
    RESCORE_LOCK=/opt/rescore/requirements.txt
# There is no git tree in the image, so whoever builds it says which revision it is.
ARG RESCORE_CODE_REVISION=""
ENV RESCORE_CODE_REVISION=$RESCORE_CODE_REVISION
# Volumes take their owner from these folders when they are first made.
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --create-home rescore \
    && mkdir -p /opt/airflow/auth /opt/airflow/logs /opt/airflow/rescore \
    && chown -R 50000:0 /opt/airflow && chmod 700 /opt/airflow/auth
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/rescore
COPY requirements.txt ./
COPY dags ./dags
COPY plugins ./plugins
COPY include/models ./include/models
COPY include/features ./include/features
USER 50000
CMD ["airflow", "version"]
