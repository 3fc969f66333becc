#!/bin/sh
# Makes an environment from the lock, requirements.txt. A second call finds nothing to do and says nothing.
# Every unsuitable machine gets one clear line with the fix.
#   VENV    the environment's folder (default: .venv), one beside the other for several Pythons: .venv-3.13
#   PYTHON  the Python to use (default: the first suitable one of python3, python3.13 ... python3.11)
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
uv_version=0.13.9
# Megabytes of an environment, plus what installing needs on the way.
needed_megabytes=3000

fail() {
  printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
  exit 1
}

suitable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

[ "$(uname -s)" = Linux ] ||
  fail "the local stack runs on Linux; this is $(uname -s)" "use a Linux machine, a container, or docker-compose.yaml"

python=${PYTHON:-}
if [ -n "$python" ]; then
  command -v "$python" >/dev/null 2>&1 || fail "PYTHON=$python is not a program" "name a Python 3.11, 3.12 or 3.13"
  suitable "$python" || fail "PYTHON=$python is $("$python" --version 2>&1)" "name a Python 3.11, 3.12 or 3.13"
else
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && suitable "$candidate"; then
      python=$candidate
      break
    fi
  done
  [ -n "$python" ] ||
    fail "no Python 3.11, 3.12 or 3.13 here (python3 is: $(python3 -c "import platform; print(platform.python_version())" 2>/dev/null || echo none))" \
      "install one, or name it: make PYTHON=/path/to/python3.12"
fi

# Scripts and the editable install name this place: an environment that was copied or moved with its checkout is
# another one's.
case $venv in
  /*) place=$venv ;;
  *) place=$(pwd -P)/$venv ;;
esac
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wanted=$(cat requirements.txt pyproject.toml scripts/set-up.sh | "$python" -c "
import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), '$version')") || exit 1
wanted="$wanted $place"
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.installed" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "$python has no venv module" "apt-get install python$version-venv (Debian, Ubuntu), or name another Python: make PYTHON=..."
[ -w . ] || fail "this folder can't be written to: $(pwd)" "use a checkout of your own"
# Counted from the end: the name of a device may have spaces, the folder it is mounted on has none in most cases.
free=$(df -Pk . | awk 'NR == 2 { print int($(NF - 2) / 1024) }')
if [ ! -d "$venv" ] && [ "$free" -lt $needed_megabytes ]; then
  fail "$free MB are free in $(pwd), $needed_megabytes are needed" "free some space, or clone onto another disk"
fi

# Of another Python, its Python is gone, or it was made in another place: begin anew.
if [ -e "$venv" ] && { [ "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" != "$version" ] ||
  [ "$(sed -n 's/^command = .* -m venv //p' "$venv/pyvenv.cfg")" != "$place" ]; }; then
  rm -rf "$venv"
fi
rm -f "$venv/.installed"
packages=$(grep -c '^[a-z0-9].*==' requirements.txt) || packages=0
echo "making $venv with Python $version: $packages packages, a few minutes the first time"
[ -x "$venv/bin/pip" ] || "$python" -m venv "$place" || fail "python -m venv failed" "see above"
[ "$("$venv/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" = $uv_version ] ||
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" ||
  fail "uv $uv_version can't be installed with pip" "see above; is a package index reachable?"
export VIRTUAL_ENV="$place"
# In parts, so that what has come and how long the rest may take can be said.
rm -rf "$venv/.parts"
mkdir "$venv/.parts"
awk -v all="$packages" -v folder="$venv/.parts" '
  /^[a-z0-9].*==/ { part = 10 + int(number++ * 8 / all) }
  part { print > (folder "/" part ".txt") }' requirements.txt
began=$(date +%s)
come=0
for part in "$venv"/.parts/*.txt; do
  [ -f "$part" ] || continue
  "$venv/bin/uv" pip install --quiet --no-deps --require-hashes -r "$part" ||
    fail "the packages of requirements.txt can't be installed" "see above; is a package index reachable, is the disk full?"
  come=$((come + $(grep -c '^[a-z0-9].*==' "$part")))
  spent=$(($(date +%s) - began))
  # Compiling takes about as long as a third of all packages.
  echo "  $come of $packages packages, $spent s so far, about $((spent * (packages * 4 / 3 - come) / come)) s left"
done
# All of it once more, as one: nothing is missing. Compiled now: on every start of Airflow's four components otherwise,
# where bytecode is not written.
"$venv/bin/uv" pip install --quiet --compile-bytecode --require-hashes -r requirements.txt ||
  fail "the packages of requirements.txt can't be installed" "see above; is a package index reachable, is the disk full?"
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable . ||
  fail "the project itself can't be installed" "see above"
rm -rf "$venv/.parts"
echo "$wanted" >"$venv/.installed"
