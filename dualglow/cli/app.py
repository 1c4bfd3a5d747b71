"""The typer application that the verbs register on."""

import typer

app = typer.Typer(
    name="dualglow",
    help="From MRI and FDG-PET downloads to synthetic PET, tables and figures. Each verb is one step of the workflow.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
