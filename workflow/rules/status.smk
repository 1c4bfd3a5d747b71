# What `dualglow status` needs to know of a run, and what a person sees at its end.
import sys
from contextlib import suppress
from dualglow.status import runs


def recorded(rule):
    """What a rule makes of what, as patterns."""
    return {
        "name": rule.name,
        "room": Path(rule.snakefile).stem,
        "outputs": list(map(str, rule.output)),
        "temporary": [str(path) for path in rule.output if path.flags.get("temp")],
        "inputs": [str(path) for path in rule.input if not callable(path)],
        "logs": list(map(str, rule.log)),
    }


def slurm_logs():
    """Where the logs of SLURM's jobs lie; None without SLURM."""
    settings = workflow.executor_settings
    return (
        str(settings.logdir or ".snakemake/slurm_logs")
        if hasattr(settings, "logdir")
        else None
    )


def slurm_name():
    """The name of all jobs of this run; None without SLURM."""
    executor = getattr(workflow.scheduler, "_executor", None)
    return getattr(executor, "run_uuid", None)


onstart:
    remember_the_controller()
    runs.begin(
        runs.Run(
            results=RESULTS,
            config=config,
            rules=[recorded(rule) for rule in workflow.rules],
            slurm_logs=slurm_logs(),
            slurm_name=slurm_name(),
            command=sys.argv,
        )
    )


def at_end(succeeded):
    """Sum up; nothing that goes wrong here may hide what the run itself says, or how it ended."""
    with suppress(Exception):
        runs.end(Path(RESULTS), succeeded)
        shell("dualglow status --brief --results {RESULTS:q} >&2")


onsuccess:
    at_end(succeeded=True)


onerror:
    at_end(succeeded=False)
