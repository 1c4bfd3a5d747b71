#!/bin/sh
# An image of ANTs' own programs from Debian, without Docker, and scripts that run them in it. As root (or fakeroot):
#   envs/build-ants.sh ants.sif ants-bin      needs debootstrap and apptainer; 90 s, 2.2 GB of scratch below TMPDIR
# Then put ants-bin first on PATH, or: export ANTSPATH=$PWD/ants-bin
# SUITE chooses Debian's release, MIRROR where it comes from (Debian's snapshot archive keeps a day for ever), ROOT takes
# a root folder that is there already.
set -eu
image=$(realpath -m "${1:?usage: build-ants.sh IMAGE FOLDER}")
folder=$(realpath -m "${2:?usage: build-ants.sh IMAGE FOLDER}")
if [ -z "${ROOT:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    ROOT=$scratch/root
    debootstrap --variant=minbase --include=ants "${SUITE:-trixie}" "$ROOT" ${MIRROR:+"$MIRROR"}
    rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/*
fi
apptainer build --force "$image" "$ROOT"
mkdir -p "$folder"
for program in antsRegistration antsApplyTransforms N4BiasFieldCorrection Atropos; do
    # /usr/lib/ants: Debian has N4BiasFieldCorrection there alone.
    printf '#!/bin/sh\nexec apptainer exec --cleanenv --env ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 --bind /tmp --bind "$PWD" \\\n    "%s" /usr/lib/ants/%s "$@"\n' "$image" "$program" > "$folder/$program"
    chmod +x "$folder/$program"
done
"$folder/antsRegistration" --version
