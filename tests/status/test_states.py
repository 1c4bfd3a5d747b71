"""What is said of planted trees."""

import os
import shlex
import socket
import time

import psutil
import pytest

from dualglow.errors import InputError
from dualglow.status.disk import marks
from dualglow.status.items import State
from dualglow.status.survey import survey
from tests.status.conftest import PAIRS, Tree, states

A, B, C = PAIRS


def test_a_run_that_did_nothing(tree: Tree) -> None:
    """The cohort's tables are there; of what is made on demand there is no word."""
    found = tree.look()
    assert {item.rule.name for item in found.of(State.DONE)} == {"scan", "pair", "split"}
    assert found.alive is False
    assert not {item.rule.room for item in found.items} & {"native", "uncertainty"}
    assert len([item for item in found.of(State.MISSING) if item.rule.name == "train"]) == 9 * 2


def test_everything_is_done(tree: Tree) -> None:
    tree.make(*tree.look().items)
    assert set(states(tree.look())) == {State.DONE}


def test_what_was_made_on_demand_is_listed(tree: Tree) -> None:
    log = f"logs/to_native/linear_fold-1/{A}_synthetic.log"
    tree.write(log, "dualglow native: no disk left\n")
    native = f"linear_fold-1/{A}_std"
    tree.write(log.replace("_synthetic", "_std"), "")
    tree.write(f"native/linear/fold-1/{A}_space-T1w_desc-std_pet.nii.gz", "")
    assert tree.item("to_native", native).state == State.DONE
    assert tree.item("to_native", native.replace("std", "synthetic")).state == State.FAILED


def test_temporary_files_may_be_gone(tree: Tree) -> None:
    """A pair is done in a stage whose files were deleted after use, and only then."""
    per_pair = [item for item in tree.look().items if item.name == A]
    tree.make(*per_pair, temporary=False)
    assert {tree.item(item.rule.name, A).state for item in per_pair} == {State.DONE}
    users = [item for item in per_pair if item.rule.name == "resample"]
    for output in users[0].outputs:
        (tree.results / output).unlink()
    assert tree.item("convert_pet", A).state == State.MISSING


def test_excluded_and_unusable_pairs(tree: Tree) -> None:
    (tree.directory / "exclude.tsv").write_text(f"pair_id\treason\n{A}\tmoved\n")
    tree.change_config("preprocess", exclude="exclude.tsv")
    tree.write(
        "dataset/exclusions.tsv", f"pair_id\treason\tdetail\n{A}\texcluded_by_hand\t\n{B}\tt1_registration\tbad\n"
    )
    item = tree.item("normalise", A)
    assert (item.state, item.detail) == (State.LEFT_OUT, "moved")
    assert tree.look().cohort.unusable == {A: "excluded_by_hand", B: "t1_registration"}


def test_a_failure_is_named_with_its_own_words_and_how_to_run_it_again(tree: Tree) -> None:
    error = f"dualglow convert: {A}.nii: cannot be read to its end. Fetch the file again."
    tree.write(f"logs/convert_t1/{A}.log", f"a warning\n{error}\n")
    tree.write(f"logs/convert_t1/{B}.log", "")  # nothing says that it failed
    (item,) = tree.look().of(State.FAILED)
    assert (item.rule.name, item.name, item.detail) == ("convert_t1", A, error)
    rows = tree.look().table().set_index(["stage", "item"])
    row = rows.loc[("convert_t1", A)]
    assert row["log"] == f"results/logs/convert_t1/{A}.log"
    target = f"results/derivatives/{A.replace('_', '/')}/anat/{A}_desc-converted_T1w.nii.gz"
    assert row["command"] == f"snakemake --configfile mine.yaml -c 2 -- {target}"
    assert rows.loc[("convert_t1", B), "state"] == "missing"


def test_the_command_leads_to_where_the_run_was_started(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert (
        survey(tree.results).command().startswith(f"cd {tree.directory} && snakemake --configfile mine.yaml -c 2 -- ")
    )


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("--profile slurm -R train -- fold_3", "--profile slurm -- fold_3"),
        ("-j8 --configfile a.yaml b.yaml --latency-wait 60 -k -- all", "--configfile a.yaml b.yaml -k -j 8 -- all"),
        ("--profile=slurm tables --config seed=2", "--config seed=2 --profile slurm -- tables"),
        ("--cores --directory 'a b'", "--directory 'a b' --cores all -- all"),
    ],
)
def test_a_command_is_given_as_the_run_was_configured(command: str, again: str, tree: Tree) -> None:
    """What it forced is not forced again."""
    tree.change_run(command=["snakemake", *shlex.split(command)])
    assert tree.look().command() == f"snakemake {again}"


# As Snakemake 9.27 writes it into its log.
KILLED = """RuleException:
CalledProcessError in file "/w/workflow/rules/train.smk", line 46:
Command 'set -euo pipefail;  dualglow train &> {log}' died with <Signals.SIGKILL: 9>.
[Thu Jan  1 00:00:00 2026]
Error in rule train:
    message: None
    jobid: 7
    output: results/models/linear/fold-0/model.safetensors
    log: {log} (check log file(s) for error details)
    shell:
        dualglow train &> {log}
        (command exited with non-zero exit code)
Logfile {log}: empty file
"""


def test_a_command_that_was_killed_without_a_word(tree: Tree) -> None:
    tree.write("logs/train/linear_fold-0.log", "epoch 3/90: bits/voxel 4.1, 2 h left\n")
    tree.snakemake_log(KILLED.format(log="results/logs/train/linear_fold-0.log"))
    item = tree.item("train", "linear_fold-0")
    assert item.state == State.FAILED
    assert item.detail == (
        "killed (SIGKILL): the machine may have run out of memory; its last words: epoch 3/90: bits/voxel 4.1, 2 h left"
    )


def test_an_old_report_is_not_held_against_a_later_log(tree: Tree) -> None:
    """It was run again since: its outputs were removed by somebody else."""
    tree.snakemake_log(KILLED.format(log="results/logs/train/linear_fold-0.log"))
    for path in (tree.directory / ".snakemake" / "log").iterdir():
        os.utime(path, (1, 1))
    tree.write("logs/train/linear_fold-0.log", "")
    assert tree.item("train", "linear_fold-0").state == State.MISSING


GROUP = """[Thu Jan  1 00:00:00 2026]
    message: Error in group pair
    log: {slurm} (check log file(s) for error details)
    jobs:
        rule normalise:
            jobid: 6
            output: results/a
            log: results/logs/normalise/{pair}.log (check log file(s) for error details)
    [Thu Jan  1 00:00:00 2026]
    Error in rule convert_t1:
        message: None
        jobid: 5
        output: results/b
        log: results/logs/convert_t1/{pair}.log (check log file(s) for error details)
        shell:
            dualglow convert
    [Thu Jan  1 00:00:00 2026]
    Error in rule normalise:
        message: None
        jobid: 6
        output: results/a
        log: results/logs/normalise/{pair}.log (check log file(s) for error details)
        shell:
            dualglow normalise
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.0. Some of your processes may have been killed "
         "by the cgroup out-of-memory handler.\n", "out of memory"),
        ("slurmstepd: error: *** JOB 12 ON cpu1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***\n", "time lim"),
        ("slurmstepd: error: *** JOB 12 ON cpu1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD "
         "LOG FOR DETAILS ***\n", "the node failed"),
        ("slurmstepd: error: *** JOB 12 ON cpu1 CANCELLED AT 2026-01-01T00:00:00 ***\n", "cancelled"),
    ],
    ids=["memory", "time", "node", "scancel"],
)  # fmt: skip
@pytest.mark.parametrize("grouped", [True, False])
def test_what_slurm_did_is_said(text: str, said: str, grouped: bool, tree: Tree) -> None:
    """Of a job of several steps only the one at which it ended has failed; the others' files went with it."""
    tree.change_run(slurm_logs="logs/slurm")
    tree.write(f"logs/normalise/{A}.log", "affine\n")
    if grouped:
        first = tree.write(f"logs/convert_t1/{A}.log", "")
        os.utime(first, (time.time() - 60, time.time() - 60))
        log = tree.directory / "logs" / "slurm" / "group_pair_adopt_..." / "12.log"
        tree.snakemake_log(GROUP.format(pair=A, slurm=log))
    else:
        log = tree.directory / "logs" / "slurm" / "rule_normalise" / "900S0000_20100101" / "12.log"
        tree.snakemake_log(KILLED.format(log=f"results/logs/normalise/{A}.log"))
    log.parent.mkdir(parents=True)
    log.write_text("Config file ...\n" + text)
    (item,) = tree.look().of(State.FAILED)
    assert (item.rule.name, item.name) == ("normalise", A)
    assert item.detail.startswith(said)
    assert item.detail.endswith("its last words: affine")


def test_begun_and_killed_is_interrupted(tree: Tree) -> None:
    """Even if the outputs are there: they may be half of what they should be."""
    item = tree.item("normalise", A)
    tree.make(item)
    tree.mark(item)
    assert tree.item("normalise", A).state == State.INTERRUPTED
    (tree.results / item.log).unlink()  # it waited in a queue when the run was killed
    assert tree.item("normalise", A).state == State.MISSING


def test_long_names_of_marks(tree: Tree) -> None:
    """Snakemake cuts names of more than 255 characters into folders."""
    paths = [f"{'a' * length}.nii.gz" for length in (1, 170, 200, 400, 600)]
    for path in paths:
        tree.mark_path(f"results/{path}", "12")
    found = marks(tree.directory, "results")
    assert set(found) == set(paths)
    assert {mark.job for mark in found.values()} == {"12"}


def alive(tree: Tree, **values: object) -> None:
    """Let this process be the run."""
    born = psutil.Process().create_time()
    tree.change_run(**{"pid": os.getpid(), "born": born, "host": socket.gethostname(), **values})


def test_begun_by_a_living_snakemake_is_running(tree: Tree) -> None:
    item = tree.item("train", "linear_fold-1")
    tree.mark(item)
    tree.write(item.log, "epoch 1/90\r\nepoch 2/90: 3 h left\n")
    alive(tree)
    found = tree.item("train", "linear_fold-1")
    assert tree.look().alive is True
    assert (found.state, found.detail) == (State.RUNNING, "epoch 2/90: 3 h left")


def test_another_process_of_the_same_number_is_not_the_run(tree: Tree) -> None:
    alive(tree, born=1.0)
    assert tree.look().alive is False


def test_a_run_that_ended_is_not_running(tree: Tree) -> None:
    alive(tree, ended=-5, succeeded=False)
    assert tree.look().alive is False


def test_on_another_machine_nobody_knows(tree: Tree) -> None:
    tree.mark(tree.item("normalise", A))
    alive(tree, host="login1")
    assert tree.look().alive is None
    assert tree.item("normalise", A).state == State.RUNNING


def test_a_failure_of_an_earlier_run_is_still_to_be_tried(tree: Tree) -> None:
    log = tree.write(f"logs/convert_t1/{A}.log", "dualglow convert: broken\n")
    os.utime(log, (time.time() - 60, time.time() - 60))
    alive(tree, started=-30)
    item = tree.item("convert_t1", A)
    assert (item.state, item.detail) == (State.MISSING, "failed before this run: dualglow convert: broken")


def squeue(tree: Tree, *lines: str) -> None:
    """A squeue that answers this."""
    program = tree.directory / "bin" / "squeue"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    tree.change_run(slurm_logs="logs/slurm")


def test_jobs_in_the_queue(tree: Tree) -> None:
    """Job 7 waits; job 8 is at its first step; job 9 ended, which Snakemake has not seen yet."""
    squeue(tree, "7|PENDING", "8|RUNNING", "9|COMPLETED")
    for pair, job in ((A, "7"), (B, "8")):
        for rule in ("convert_t1", "normalise"):
            tree.mark(tree.item(rule, pair), job)
    tree.write(f"logs/convert_t1/{B}.log", "")
    tree.mark(tree.item("convert_t1", C), "9")
    alive(tree)
    expected = {("convert_t1", A): State.QUEUED, ("normalise", A): State.QUEUED, ("convert_t1", B): State.RUNNING}
    expected |= {("normalise", B): State.QUEUED, ("normalise", C): State.MISSING}
    assert {key: tree.item(*key).state for key in expected} == expected


def test_jobs_go_on_without_their_snakemake(tree: Tree) -> None:
    """Job 8 runs: its log says at what; marks of a job that runs have lost its number."""
    squeue(tree, "7|PENDING", "8|RUNNING")
    tree.mark(tree.item("normalise", A), "7")
    for pair in (B, C):
        item = tree.item("normalise", pair)
        tree.mark(item)
        tree.write(item.log, "")
    log = tree.directory / "logs" / "slurm" / "group_pair_..." / "8.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"localrule normalise:\n    output: x\n    log: results/logs/normalise/{B}.log\n    jobid: 0\n")
    found = {pair: tree.item("normalise", pair).state for pair in PAIRS}
    assert found == {A: State.QUEUED, B: State.RUNNING, C: State.INTERRUPTED}
    squeue(tree)
    found = {pair: tree.item("normalise", pair).state for pair in PAIRS}
    assert found == {A: State.MISSING, B: State.INTERRUPTED, C: State.INTERRUPTED}


def test_leftovers_are_counted(tree: Tree) -> None:
    tree.write("dataset/.123.part.volumes.npy", "")
    assert tree.look().leftovers == [tree.results / "dataset" / ".123.part.volumes.npy"]


def test_without_a_run_it_says_what_to_do(tree: Tree) -> None:
    for folder, said in (
        ("nowhere", "no such folder"),
        ("", "--results .*/results"),
        ("results/logs", "Start `snakem"),
    ):
        with pytest.raises(InputError, match=said):
            survey(tree.directory / folder)


def test_a_run_of_another_version_is_said(tree: Tree) -> None:
    tree.change_run(config={"models": {"dualglow": {}}})
    with pytest.raises(InputError, match="another version of DualGlow"):
        tree.look()


def test_what_slurm_refused_is_said(tree: Tree) -> None:
    """Such a job never began; Snakemake leaves an empty log."""
    tree.write("logs/train/dualglow_fold-0.log", "")
    tree.snakemake_log("""Error in rule train:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: No such partition'.
    sbatch call:
        sbatch --parsable -p gpu --wrap="python -m snakemake"
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 20
    log: results/logs/train/dualglow_fold-0.log (check log file(s) for error details)
""")
    item = tree.item("train", "dualglow_fold-0")
    assert (item.state, item.detail) == (
        State.FAILED,
        "refused by SLURM: Batch job submission failed: No such partition",
    )
