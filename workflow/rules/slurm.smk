# With the executor `slurm` alone.
from contextlib import suppress


def remember_the_controller():
    """Ask SLURM's controller for its settings once, while it answers.

    The executor asks before every look at the jobs, and takes no answer, as while the controller starts anew, to mean that
    accounting knows more. Where there is none it would ask it for ever and miss the end of all jobs.
    """
    if not hasattr(workflow.executor_settings, "status_command"):
        return
    with suppress(
        ImportError, AttributeError
    ):  # not installed, or not as in 2.5 to 2.8
        import snakemake_executor_plugin_slurm as plugin

        known = plugin.get_min_job_age()
        asked = plugin.get_min_job_age
        plugin.get_min_job_age = lambda: known if known is not None else asked()
