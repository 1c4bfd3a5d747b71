#!/bin/sh
# What the image holds. dualglow.def and build-image.sh run this inside a bare Debian trixie, as root, with the clone's
# files in /opt/dualglow: ANTs' own programs from Debian, DualGlow with the versions that constraints.txt names.
set -eu
cd /opt/dualglow
export DEBIAN_FRONTEND=noninteractive TMPDIR=/tmp
apt-get update
# shellcheck disable=SC2046 # one word a package
apt-get install -y --no-install-recommends $(cat envs/debian.txt)
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
unset PYTHONPATH PYTHONHOME
# Snakemake makes the working folder HOME; nobody wants caches in it.
export XDG_CACHE_HOME="${TMPDIR:-/tmp}" XDG_CONFIG_HOME="${TMPDIR:-/tmp}"
END
# `apptainer inspect` shows which state of DualGlow this is; workflow/rules/container.smk compares it with the clone's.
source=$(cd / && /opt/venv/bin/python -c 'from dualglow.files import source_digest; print(source_digest())')
if [ -n "${APPTAINER_LABELS:-}" ]; then
    echo "dualglow-source $source" >> "$APPTAINER_LABELS"
else
    printf '{"dualglow-source": "%s"}\n' "$source" > /.singularity.d/labels.json
fi
