#!/bin/sh
# Makes .venv-airflow-oldest: the lowest Airflow that pyproject.toml allows, and Rescore from its wheel, with what an
# installer chooses beside them today. Nothing is done if wheel and version are those of the last time.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
venv=.venv-airflow-oldest
lowest=$($bin/python -c 'from rescore.airflow_version import LOWEST; print(LOWEST)')
# What Airflow itself is silent about: before 3.3 its API server breaks with later ones (its own constraints file
# says so, but asks for libraries that are older than ours).
beside="fastapi<0.137 cadwyn<8"
dist=$(mktemp -d)
trap 'rm -rf "$dist"' EXIT
$bin/python -m hatchling build -t wheel -d "$dist" >/dev/null 2>&1
wheel=$(echo "$dist"/*.whl)
wanted="$PWD $lowest $beside $(sha256sum "$wheel" | cut -d' ' -f1)"
if [ "$(cat $venv/.installed 2>/dev/null)" != "$wanted" ]; then
  echo "making $venv with Airflow $lowest"
  rm -rf $venv
  $bin/uv venv --quiet --python "$($bin/python -c 'import sys; print(sys.executable)')" $venv
  VIRTUAL_ENV="$PWD/$venv" $bin/uv pip install --quiet "apache-airflow==$lowest" "$wheel[airflow]" $beside
  echo "$wanted" >$venv/.installed
fi
