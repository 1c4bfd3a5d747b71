"""A survey on the terminal: a line per stage, then what needs a person."""

import time
from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dualglow.status.items import Item, State
from dualglow.status.runs import Run
from dualglow.status.survey import Survey

# What the single items of a room are called together; the room is the file of the workflow that they are in.
ROOMS = {
    "cohort": "cohort",
    "preprocess": "dataset, pages",
    "evaluate": "classification, age",
    "statistics": "statistics",
    "ageing": "ages",
    "figures": "figures",
    "ablation": "ablation",
    "paper": "tables, report",
}
COLOURS = {
    State.DONE: "green",
    State.RUNNING: "blue",
    State.QUEUED: "cyan",
    State.INTERRUPTED: "yellow",
    State.FAILED: "red",
    State.MISSING: "bright_black",
    State.LEFT_OUT: "magenta",
}
# Told apart without colours as well: in a log, by the colour-blind.
_SIGNS = dict(zip(State, "━▸·!x─ ", strict=True))
_BAR = 16  # characters
_AT_MOST = 5  # items of a kind that are named one by one


def show(survey: Survey, console: Console, brief: bool = False) -> None:
    """Print where a run stands; `brief` leaves out the table."""
    if not brief:
        _head(survey, console)
        console.print(_table(survey))
        _running(survey, console)
    _failed(survey, console)
    _interrupted(survey, console)
    _foot(survey, console, brief)


def _head(survey: Survey, console: Console) -> None:
    cohort, run = survey.cohort, survey.run
    people = f"{len(cohort.pairs)} pairs" if cohort.pairs else "pairs not known yet"
    simulated = ", simulated cohort" if run.config["cohort"]["simulated"] else ""
    models = f"{len(cohort.folds)} folds of {', '.join(cohort.methods)}"
    console.print(f"[bold]{escape(run.results)}[/]: {people}, {models}{simulated}")
    console.print(_state_of_run(run, survey.alive))


def _state_of_run(run: Run, alive: bool | None) -> str:
    command = escape(" ".join(["snakemake", *run.command[1:]]))
    since = f"{command}, started {_when(run.started)}"
    if alive:
        return f"[blue]Running[/]: {since}, on {run.host} (process {run.pid})"
    if alive is None:
        return (
            f"[yellow]Perhaps running[/]: {since}, on {run.host} (process {run.pid}); only there can one see whether "
            "it goes on. What counts as running below may have been interrupted."
        )
    if run.ended is None:
        return f"[yellow]Killed[/]: {since}; it ended without a word"
    how = "[green]Finished[/]" if run.succeeded else "[red]Stopped[/] after a failure, or by a person"
    return f"{how}: {since}, ended {_when(run.ended)}"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _table(survey: Survey) -> Table:
    """One row per stage of many items, and one for the single items of each room."""
    rows: dict[str, list[Item]] = {}
    for item in survey.items:
        rows.setdefault(_row(item), []).append(item)
    counts = {name: Counter(item.state for item in items) for name, items in rows.items()}
    others = [state for state in State if state is not State.DONE and any(count[state] for count in counts.values())]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("")
    table.add_column("", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    for state in others:
        table.add_column(state, justify="right", style=COLOURS[state])
    for name, count in counts.items():
        done = f"{count[State.DONE]}/{count.total() - count[State.LEFT_OUT]}"
        table.add_row(name, _bar(count), done, *(str(count[state] or "") for state in others))
    return table


def _row(item: Item) -> str:
    if not item.rule.wildcards:
        return ROOMS[item.rule.room]
    return f"train {item.wildcards['method']}" if item.rule.name == "train" else item.rule.name


def _bar(count: Counter[State]) -> Text:
    """Shares in colour. What is begun or failed has at least one character; what is done, or missing, the rest."""
    total = count.total() - count[State.LEFT_OUT]
    shown = [state for state in State if state not in (State.DONE, State.MISSING, State.LEFT_OUT) and count[state]]
    widths = {state: max(1, _BAR * count[state] // total) for state in shown}
    rest = _BAR - sum(widths.values())
    done = rest * count[State.DONE] // max(1, count[State.DONE] + count[State.MISSING])
    bar = Text()
    for state, width in ((State.DONE, done), *widths.items(), (State.MISSING, rest - done)):
        bar.append(_SIGNS[state] * width, style=COLOURS[state])
    return bar


def _running(survey: Survey, console: Console) -> None:
    """What runs, and what it says; trainings first, for they take long."""
    running = sorted(survey.of(State.RUNNING), key=lambda item: item.rule.name != "train")
    for item in running[:_AT_MOST]:
        words = f": {escape(item.detail)}" if item.detail else ""
        console.print(f"[blue]running[/] {item.rule.name} [bold]{item.name}[/]{words}", highlight=False)
    _more(running, console)


def _failed(survey: Survey, console: Console) -> None:
    failed = survey.of(State.FAILED)
    if not failed:
        return
    console.print(f"\n[red bold]{len(failed)} failed[/]")
    for item in failed[:_AT_MOST]:
        console.print(f"[red]{item.rule.name}[/] [bold]{item.name}[/]", highlight=False)
        for name, words in (("why", item.detail), ("log", survey.path(item.log)), ("again", survey.command(item))):
            console.print(f"  [bright_black]{name:>5}[/] {escape(words)}", highlight=False, soft_wrap=True)
    _more(failed, console)


def _more(items: list[Item], console: Console) -> None:
    """Say how many are not named one by one."""
    rest = Counter(item.rule.name for item in items[_AT_MOST:])
    if rest:
        listed = ", ".join(f"{number} of {name}" for name, number in rest.items())
        console.print(f"and {rest.total()} more ({listed}): all are in status.tsv.", highlight=False)


def _interrupted(survey: Survey, console: Console) -> None:
    """What was cut off in the middle is made anew by the next run; only a training goes on where it was."""
    cut = survey.of(State.INTERRUPTED)
    if not cut:
        return
    console.print(f"\n[yellow bold]{len(cut)} interrupted[/]: made again by the next run; a training goes on.")
    for item in cut[:_AT_MOST]:
        words = f": {escape(item.detail)}" if item.detail else ""
        console.print(f"[yellow]{item.rule.name}[/] [bold]{item.name}[/]{words}", highlight=False)
    _more(cut, console)


def _foot(survey: Survey, console: Console, brief: bool) -> None:
    if brief:
        counts = Counter(item.state for item in survey.items)
        said = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
        console.print(f"\n{escape(survey.run.results)}: {said}.", highlight=False, soft_wrap=True)
    _left_out(survey, console)
    if survey.leftovers and survey.alive is False:
        console.print(
            f"{len(survey.leftovers)} half-written files of killed processes, such as {survey.leftovers[0]}: nothing "
            "reads them. To remove them while nothing runs: "
            f"find {survey.root} -name '.*.part*' -prune -exec rm -r {{}} +",
            highlight=False,
            soft_wrap=True,
        )
    unfinished = survey.of(State.FAILED, State.INTERRUPTED, State.MISSING)
    if unfinished and survey.alive is False and not survey.run.succeeded:
        console.print(f"To go on: [bold]{escape(survey.command())}[/]", highlight=False, soft_wrap=True)


def _left_out(survey: Survey, console: Console) -> None:
    by_hand, unusable = len(survey.cohort.excluded), len(set(survey.cohort.unusable) - set(survey.cohort.excluded))
    if by_hand or unusable:
        console.print(
            f"Left out of the dataset: {by_hand} pairs by a person, {unusable} as unusable "
            f"({survey.path('dataset/exclusions.tsv')} says why).",
            highlight=False,
            soft_wrap=True,
        )
