"""What clusters do to a run, done to one on purpose: nothing is lost, nothing half-written counts, the log says it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.slurm.cluster import Cluster, run, wait_for
from tests.slurm.compare import differences
from tests.slurm.conftest import Run, node_of, seconds_of, state_of
from tests.workflow.conftest import ROOT, run_snakemake, snakemake_command

pytestmark = pytest.mark.slurm

AWAY = 20  # seconds that the controller does not answer
EPOCHS = 160  # more than a minute of training, so that the time limit falls into it
SETTINGS = {
    "split": {"folds": 2, "validation": 0.3},
    "preprocess": {"preset": "fast"},
    "training": {"epochs": EPOCHS, "threads": 1},
    "methods": ["dualglow", "mean", "linear"],
    "models": {"dualglow": {"levels": 1, "steps": 1, "hidden": 8, "memory": "plain"}},
    "synthesis": {"samples": 2},
}
TARGETS = ("cohort", "preprocess", "fold_0")


class Storm:
    """A small cohort that runs undisturbed on this machine, and with faults through SLURM."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        download = folder / "download"
        made = ["-m", "dualglow", "simulate", "--out", str(download), "--subjects", "4", "--voxel", "4"]
        subprocess.run([sys.executable, *made], check=True, cwd=ROOT)
        cohort = {"cohort": {"root": str(download), "simulated": True}, **SETTINGS}
        self.settings = {"results": str(folder / "slurm" / "results"), **cohort}
        self.undisturbed = {"results": str(folder / "local" / "results"), **cohort}
        for settings in (self.settings, self.undisturbed):
            Path(settings["results"]).parent.mkdir()
        self.results = Path(self.settings["results"])
        self.seen: dict[str, str] = {}

    def run(self, name: str, *arguments: str) -> Run:
        return Run(self.settings, *arguments, log=self.folder / f"{name}.log")

    def log(self, step: str, name: str) -> str:
        return (self.results / "logs" / step / f"{name}.log").read_text()


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Storm:
    """All faults, one after the other; the same cohort runs undisturbed once its T1s are whole."""
    made = Storm(tmp_path_factory.mktemp("storm"), cluster)
    faults_of_preprocessing(made)
    log = made.folder / "undisturbed.log"
    with log.open("w") as output:
        command = snakemake_command(made.undisturbed, "--cores", "1", "--", *TARGETS)
        undisturbed = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    faults_of_training(made)
    assert undisturbed.wait(900) == 0, log.read_text()[-3000:]
    return made


def faults_of_preprocessing(storm: Storm) -> None:
    """A truncated T1, a cancelled job, a controller that starts anew, a node that loses its power."""
    assert run_snakemake(storm.settings, "--cores", "1", "--", "cohort").returncode == 0
    pairs = pd.read_csv(storm.results / "cohort" / "pairs.tsv", sep="\t", dtype=str)
    storm.whole_pairs = list(pairs["pair_id"])[:-1]
    t1 = storm.truncated = Path(pairs["t1_paths"].iloc[-1])
    whole = t1.read_bytes()
    t1.write_bytes(whole[: len(whole) // 2])

    going = storm.run("preprocessing", "--", "preprocess")
    going.until(lambda: bool(pairs_under_way(going)), "a pair is processed")
    storm.seen["cancelled"] = pairs_under_way(going)[0]
    run("scancel", storm.seen["cancelled"])
    going.until(lambda: state_of(storm.seen["cancelled"]) == "CANCELLED", "the job is cancelled")

    storm.cluster.kill("slurmctld", signal.SIGTERM)
    time.sleep(AWAY)
    storm.cluster.start("slurmctld", "-D")

    def on_cpu2() -> list[str]:
        return [job for job in pairs_under_way(going) if node_of(job) == "cpu2"]

    going.until(lambda: bool(on_cpu2()), "a pair is processed on cpu2")
    storm.seen["lost"] = on_cpu2()[0]
    storm.cluster.kill_node("cpu2")
    going.until(lambda: "down" in run("sinfo", "-h", "-n", "cpu2", "-o", "%T"), "the node is missed")
    storm.cluster.start_node("cpu2")

    storm.status = going.wait()
    storm.preprocessing = going.said
    storm.preprocessed = {path.name for path in (storm.results / "derivatives").rglob("*_qc.json")}
    t1.write_bytes(whole)


def pairs_under_way(going: Run) -> list[str]:
    """Jobs of pairs that have been running for a while: one that is only being started SLURM would hold back."""
    return [job for job in going.jobs("rule_pair") if seconds_of(job) >= 8]


def faults_of_training(storm: Storm) -> None:
    """Too little memory, a killed training, a time limit; then Snakemake itself is killed and started again."""
    limits = (
        "pack:mem_mb=250 if attempt == 1 else 2000",
        "train:mem_mb=3000",
        "train:runtime=1 if attempt == 2 else 60",
    )
    arguments = ("--set-resources", *limits, "--", *TARGETS)
    going = storm.run("training", *arguments)
    log = storm.results / "logs" / "train" / "dualglow_fold-0.log"

    def says(words: str) -> bool:
        return log.exists() and words in log.read_text()

    going.until(lambda: says(f"epoch 2/{EPOCHS}"), "a training is under way", 600)
    run("pkill", "-KILL", "-f", f"dualglow train .*{storm.results}.* --fold 0 --method dualglow")
    going.until(lambda: says("Going on"), "the killed training goes on")
    storm.after_kill = log.read_text()
    going.until(lambda: says("the job's time limit"), "the training stops before its time limit")
    storm.at_limit = log.read_text()
    going.until(lambda: not says("the job's time limit") and says("Going on"), "the stopped training goes on")
    storm.after_limit = log.read_text()
    storm.training = going.said
    going.kill()
    again = storm.run("again", *arguments)
    storm.end = again.wait()
    storm.again = again.said


def test_a_truncated_scan_is_named_and_the_other_pairs_are_made(storm: Storm) -> None:
    assert storm.status == 1
    assert "cannot be read to its end" in storm.preprocessing
    assert set(re.findall(r"dualglow convert: (\S+):", storm.preprocessing)) == {str(storm.truncated)}
    for pair in storm.whole_pairs:
        assert f"{pair}_desc-pair_qc.json" in storm.preprocessed


def test_a_cancelled_job_is_tried_again(storm: Storm) -> None:
    submissions = re.findall(r"Job (\S+) has been submitted with SLURM jobid (\d+)", storm.preprocessing)
    (cancelled,) = {job for job, slurm_id in submissions if slurm_id == storm.seen["cancelled"]}
    assert [job for job, _ in submissions].count(cancelled) >= 2


def test_a_lost_nodes_job_goes_back_into_the_queue(storm: Storm) -> None:
    """SLURM starts it again by itself: Snakemake is not told of a failure."""
    assert "Restarts=1" in run("scontrol", "show", "job", storm.seen["lost"])
    assert state_of(storm.seen["lost"]) in ("COMPLETED", "FAILED")  # it may be the pair of the truncated T1


def test_too_little_memory_is_said_and_more_is_asked_for(storm: Storm) -> None:
    logs = [path.read_text() for path in (storm.results.parent / "slurm-logs" / "rule_pack").rglob("*.log")]
    assert any(re.search("oom-kill|Out Of Memory|OOM", text, re.IGNORECASE) for text in logs)
    assert (storm.results / "dataset" / "volumes.npy").exists()


def test_a_killed_training_goes_on(storm: Storm) -> None:
    """It was killed in or after its third epoch: the second one's state is the least that is left."""
    (epoch,) = map(int, re.findall(r"Going on after epoch (\d+)", storm.after_kill))
    assert epoch >= 2


def test_a_training_stops_before_its_time_limit_and_goes_on_there(storm: Storm) -> None:
    (stopped,) = re.findall(r"stopped by the job's time limit after ([^;]+);", storm.at_limit)
    assert f"Going on after {stopped} of" in storm.after_limit


def test_a_killed_snakemake_goes_on(storm: Storm) -> None:
    """What it left in the queue is cancelled: the same training twice at a time would spoil both."""
    assert storm.end == 0, storm.again[-3000:]
    assert "Cancelled 1 jobs that an earlier run had left" in storm.again


def test_the_results_are_those_of_an_undisturbed_run(storm: Storm) -> None:
    assert differences(Path(storm.undisturbed["results"]), storm.results) == []


def test_a_full_disk_is_said_and_nothing_is_half_written(storm: Storm, tmp_path: Path) -> None:
    """Results on a file system of 48 MB, filled up; with room again, the same command goes on."""
    image, place = tmp_path / "disk", tmp_path / "small"
    image.write_bytes(b"")
    os.truncate(image, 48 << 20)
    place.mkdir()
    run("mkfs.ext4", "-q", str(image))
    run("mount", "-o", "loop", str(image), str(place))
    try:
        settings = storm.settings | {"results": str(place / "results")}
        assert run_snakemake(settings, "--cores", "1", "--", "cohort").returncode == 0
        pair = pd.read_csv(place / "results" / "cohort" / "pairs.tsv", sep="\t")["pair_id"][0]
        target = f"{place}/results/derivatives/{pair.replace('_', '/')}/pet/{pair}_desc-pair_qc.json"
        filler = place / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(place).free - (2 << 20)))
        full = Run(settings, "--retries", "0", "--", target, log=tmp_path / "full.log")
        assert full.wait() == 1
        # The log is on the same disk: where there was no room even for that line, the summary says it.
        assert re.search(f"dualglow \\w+: {place}.* the disk is full|MB are left on its disk", full.said)
        derivatives = place / "results" / "derivatives"
        assert not [path for path in derivatives.rglob("*") if ".part" in path.name]
        filler.unlink()
        room = Run(settings, "--", target, log=tmp_path / "room.log")
        assert room.wait() == 0, room.said[-3000:]
        assert Path(target).exists()
    finally:
        run("umount", str(place))


def test_ctrl_c_cancels_the_jobs(storm: Storm, tmp_path: Path) -> None:
    settings = storm.settings | {"results": str(tmp_path / "results")}
    going = Run(settings, "--", "preprocess", log=tmp_path / "run.log")
    going.until(lambda: bool(going.jobs("rule_pair")), "a pair is processed")
    jobs = going.jobs("rule_pair")
    going.kill(signal.SIGINT)
    wait_for(lambda: not set(jobs) & set(going.jobs("rule_pair")), "the jobs are cancelled")
