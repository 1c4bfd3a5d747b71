#!/bin/sh
# The image in which every rule can run, without Docker. As root (or fakeroot) on Debian or Ubuntu, from anywhere:
#   envs/build-image.sh envs/dualglow.sif       then: snakemake --sdm apptainer ...
# Needs debootstrap, apptainer and scratch below TMPDIR. Further words are options of `apptainer build`.
# MIRROR: where Debian comes from (Debian's snapshot archive keeps a day for ever). ROOT: a folder to build in that is
# kept: the next build with it installs only what has changed, such as DualGlow. Settings of pip (PIP_...) are obeyed.
set -eu
image=$(realpath -m "${1:?usage: build-image.sh IMAGE [OPTION OF APPTAINER BUILD]...}")
shift
clone=$(realpath "$(dirname "$0")/..")
for program in debootstrap apptainer; do
    command -v "$program" > /dev/null || { echo "build-image.sh: $program is not installed" >&2; exit 1; }
done
if [ -z "${ROOT:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    ROOT=$scratch/root
fi
[ -x "$ROOT/bin/sh" ] || debootstrap --variant=minbase trixie "$ROOT" ${MIRROR:+"$MIRROR"}

# What dualglow.def has under %files
rm -rf "$ROOT/opt/dualglow"
mkdir -p "$ROOT/opt/dualglow/envs" "$ROOT/.singularity.d/env" "$ROOT/usr/local/share/ca-certificates"
for name in dualglow pyproject.toml constraints.txt README.md LICENSE envs/install.sh; do
    cp -r "$clone/$name" "$ROOT/opt/dualglow/$name"
done
cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
cp -r /usr/local/share/ca-certificates/. "$ROOT/usr/local/share/ca-certificates" 2> /dev/null || true
chroot "$ROOT" sh /opt/dualglow/envs/install.sh

apptainer build --force "$@" "$image" "$ROOT"
apptainer exec --cleanenv "$image" dualglow --help > /dev/null
apptainer exec --cleanenv "$image" /usr/lib/ants/antsRegistration --version
