#!/bin/sh
# What the image holds. dualglow.def and build-image.sh run this inside a bare Debian trixie, as root, with the clone's
# files in /opt/dualglow: ANTs' own programs, and DualGlow with its Python packages in the versions of constraints.txt.
set -eu
cd /opt/dualglow
export DEBIAN_FRONTEND=noninteractive TMPDIR=/tmp
# ANTs is from Debian unstable, and with it what it needs, but Python is not: trixie's own ANTs (2.5.4) crashes as soon as
# a registration has a starting transform, for it was built against another ITK than trixie's. When unstable has a newer
# ANTs, take this one from Debian's snapshot archive (MIRROR), or name the newer here and compare (tests/workflow).
ANTS=2.6.5+dfsg-1
echo "deb [check-valid-until=no] ${MIRROR:-http://deb.debian.org/debian} sid main" > /etc/apt/sources.list.d/sid.list
printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' > /etc/apt/preferences.d/sid
apt-get update
apt-get install -y --no-install-recommends python3-venv ca-certificates mricron-data
apt-get install -y --no-install-recommends --target-release sid "ants=$ANTS"
rm /etc/apt/sources.list.d/sid.list /etc/apt/preferences.d/sid
update-ca-certificates # an institution's own, where build-image.sh brought some
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
python3 -m venv /opt/venv
/opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[slurm,fsl]'
/opt/venv/bin/pip freeze --exclude dualglow > installed.txt
rm -rf build dualglow dualglow.egg-info # the image runs what is installed

# Read at every start in the image. Not the host's: its Python packages, and its ANTs.
cat > "${APPTAINER_ENVIRONMENT:-/.singularity.d/env/91-environment.sh}" <<'END'
export PATH=/opt/venv/bin:$PATH
# Debian has some of ANTs' programs, N4BiasFieldCorrection among them, there alone.
export ANTSPATH=/usr/lib/ants
export PYTHONNOUSERSITE=1
export PYTHONPATH= PYTHONHOME=
# Snakemake makes the working folder HOME; nobody wants caches in it.
export XDG_CACHE_HOME="${TMPDIR:-/tmp}/dualglow-${USER:-user}" XDG_CONFIG_HOME="${TMPDIR:-/tmp}/dualglow-${USER:-user}"
END
# `apptainer inspect` shows which state of DualGlow this is; workflow/rules/container.smk compares it with the clone's.
source=$(cd / && /opt/venv/bin/python -c 'from dualglow.files import source_digest; print(source_digest())')
if [ -n "${APPTAINER_LABELS:-}" ]; then
    echo "dualglow-source $source" >> "$APPTAINER_LABELS"
else
    printf '{"dualglow-source": "%s"}\n' "$source" > /.singularity.d/labels.json
fi
