# With --sdm apptainer: the image is there, holds the code of this clone and sees the files that the configuration names.
import json
import os
import shutil
import subprocess
import tempfile
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from dualglow.files import source_digest

BUILD = (
    "Build it: envs/build-image.sh envs/dualglow.sif (docs/cluster.md, In a container)."
)


def in_container():
    methods = workflow.deployment_settings.deployment_method
    return DeploymentMethod.APPTAINER in methods


def check_image(image, program):
    """Raise WorkflowError if the image is not there or was built from other code: it would run that."""
    if not Path(image).exists():
        raise WorkflowError(f"container: there is no image {image}. {BUILD}")
    shown = subprocess.run(
        [program, "inspect", "--json", "--labels", image],
        capture_output=True,
        text=True,
    )
    if shown.returncode:
        raise WorkflowError(
            f"container: {image} is not an image that {program} can read. {BUILD}"
        )
    labels = json.loads(shown.stdout)["data"]["attributes"]["labels"]
    if labels.get("dualglow-source") != source_digest():
        raise WorkflowError(
            f"container: {image} holds another state of DualGlow than the one that runs here. {BUILD}"
        )


def words(setting):
    """Every text in the configuration, however deep."""
    if isinstance(setting, (dict, list)):
        inner = setting.values() if isinstance(setting, dict) else setting
        return [word for item in inner for word in words(item)]
    return [setting] if isinstance(setting, str) else []


def existing(path):
    """The path, or the nearest folder above it that is there: results may not have been made yet."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def outside():
    """Files and folders that the rules read or write outside the working folder, which is all that Snakemake binds."""
    named = [Path(word).absolute() for word in words(config) if Path(word).exists()]
    named += [Path(config["results"]).absolute(), Path(tempfile.gettempdir())]
    named += [Path(workflow.basedir).parent]
    found = {path for name in map(existing, named) for path in (name, name.resolve())}
    return sorted(
        str(path)
        for path in found
        if path != Path("/") and not path.is_relative_to(Path.cwd())
    )


def bind_outside(program):
    """Add them to what the user binds, in the variable that the program reads.

    The user's own words are kept apart for the Snakemakes within cluster jobs: another machine may have another TMPDIR.
    """
    name = f"{program.upper()}_BIND"
    own = ",".join(os.environ.pop(key, "") for key in (name, f"{name}PATH"))
    own = os.environ.setdefault("DUALGLOW_USER_BIND", own)
    os.environ[name] = ",".join(
        dict.fromkeys(filter(None, [*own.split(","), *outside()]))
    )


# The same words in every clone: another path would be another environment, in which Snakemake would make all anew.
IMAGE = "envs/dualglow.sif"
if in_container():
    IMAGE = os.path.relpath(Path(workflow.basedir).parent / IMAGE)
    # Where there is neither, Snakemake says so.
    if program := next(filter(shutil.which, ("apptainer", "singularity")), None):
        check_image(IMAGE, program)
        bind_outside(program)
