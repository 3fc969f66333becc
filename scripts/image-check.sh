#!/bin/sh
# Builds the Dockerfile's image without a container engine, and runs in it what a deployment runs. Needs root,
# buildah, debootstrap and a way to the packages of Debian and Python; took 12 minutes on two busy processors; it
# removes all that it made at its end.
#
# 1. The base that the Dockerfile names is made of Debian's own packages by debootstrap: `python:3.11-slim` stands
#    for Debian 12 there, whose Python is a 3.11 too. It is not that image: another patch version, at another path.
# 2. buildah builds (isolation: chroot; storage: vfs, plain folders), and runs `airflow version`, `rescore --version`
#    and `rescore doctor` in the image as its user.
set -eu
cd "$(dirname "$0")/.."

for tool in buildah debootstrap unshare; do
  if ! command -v $tool >/dev/null; then
    echo "left out: there is no $tool (Debian: apt-get install buildah debootstrap)"
    exit 0
  fi
done
if [ "$(id -u)" != 0 ]; then
  echo "left out: buildah's chroot needs root"
  exit 0
fi

mkdir -p var
work=$(mktemp -d "$PWD/var/image-check.XXXXXX")
# Buildah's own variable for what is run while it builds and after.
export BUILDAH_ISOLATION=chroot

build() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

clean() {
  build rm --all >/dev/null 2>&1 || true
  build rmi --all --force >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | sort -u)
[ "$base" = python:3.11-slim ] || { echo "error: the Dockerfile's base is now $base: name its Debian here" >&2; exit 1; }
echo "making $base of Debian's packages"
container=$(build from scratch)
root=$(build mount "$container")
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" >"$work/debootstrap.log" ||
  { tail -n 40 "$work/debootstrap.log" >&2; exit 1; }
ln -s /usr/bin/python3.11 "$root/usr/local/bin/python"
rm -f "$root"/var/cache/apt/archives/*.deb
build umount "$container" >/dev/null
build commit --quiet --rm "$container" "$base" >/dev/null

echo "building the image"
# While it builds, package managers trust whom those of this machine trust. Nothing of it stays in the image.
echo 'system-certs = true' >"$work/uv.toml"
set -- --volume /etc/ssl/certs:/etc/ssl/certs:ro --volume "$work/uv.toml:/etc/uv/uv.toml:ro"
[ ! -f /etc/pip.conf ] || set -- "$@" --volume /etc/pip.conf:/etc/pip.conf:ro
revision=$(git rev-parse HEAD 2>/dev/null || true)
build bud --pull-never --build-arg RESCORE_CODE_REVISION="$revision" "$@" --tag rescore:check . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log" >&2; exit 1; }

echo "running it"
container=$(build from --pull-never rescore:check)
inside() {
  build run "$container" -- "$@"
}
[ "$(inside id -u)" = 50000 ]
wanted=$(sed -n 's/^apache-airflow==\([^ ]*\).*/\1/p' requirements.txt)
airflow=$(inside airflow version | tail -n 1)
[ "$airflow" = "$wanted" ] || { echo "error: Airflow in the image is $airflow, not the lock's $wanted" >&2; exit 1; }
echo "airflow $airflow, $(inside rescore --version)"
# What its user may write to, beside its home and folders that everybody may write to anyway.
open=$(inside find / -xdev -writable -not -type l -not -path '/opt/airflow*' -not -path '/tmp*' -not -path '/var/tmp*' \
  -not -path '/proc/*' -not -path '/dev/*' -not -path '/sys/*' -not -path '/run/*' 2>/dev/null || true)
[ -z "$open" ] || { echo "error: the image's user may write to: $open" >&2; exit 1; }
# Without a store the doctor has to say so, in a sentence, and with exit code 1.
if inside rescore doctor >"$work/doctor.log" 2>&1 || ! grep -q RESCORE_DATABASE_URL "$work/doctor.log"; then
  cat "$work/doctor.log" >&2
  exit 1
fi
grep fix: "$work/doctor.log"
echo "the image holds"
