# What a model that reads ages makes of the same MRIs at other ages; nothing where the configuration has no such model.
import sys

AGES = "<results>/ages/{method}/fold-{fold}"


def ages_tables(wildcards, input):
    """The tables in the folders of age series among the inputs."""
    return [f"{folder}/ages.tsv" for folder in input.ages]


def conditional():
    """The method of figures 6, 13 and 14, or none; a method that reads no ages is an error."""
    method = config["figures"]["conditional"]
    if method is None or method not in METHODS:
        if workflow.is_main_process:
            print(
                "Without figures 6, 13, 14 and tables/ageing.tsv: methods has no "
                f"{method or 'method for figures.conditional'}.",
                file=sys.stderr,
            )
        return None
    read = {"linear": ["age"], "dualglow-conditional": ["age"]} | {
        name: options["covariates"]
        for name, options in config["models"].items()
        if "covariates" in options
    }
    if "age" not in read.get(method, []):
        raise WorkflowError(
            f"configuration: figures.conditional: {method} does not read ages. Put age among its covariates, or write null."
        )
    return method


CONDITIONAL = conditional()

if CONDITIONAL:

    rule age_series:
        """The held-out MRIs at six ages; volumes of those people only whom figures 6 and 13 may show."""
        input:
            rules.pack.output,
            weights="<results>/models/{method}/fold-{fold}/model.safetensors",
            card="<results>/models/{method}/fold-{fold}/model.json",
            folds=rules.split.output.folds,
            metrics=rules.evaluate.output[0],
        output:
            directory(AGES),
        log:
            "<logs>/age_series/{method}_fold-{fold}.log",
        threads: config["training"]["threads"]
        resources:
            mem_mb=growing(8000),
            runtime=growing(120),
            gpu=one_gpu,
        params:
            dataset=subpath(input[0], parent=True),
            model=subpath(input.weights, parent=True),
            atlas=config["evaluation"]["atlas"],
        shell:
            "dualglow age-series --model {params.model} --dataset {params.dataset} --folds {input.folds} "
            "--fold {wildcards.fold} --metrics {input.metrics} --atlas {params.atlas} --threads {threads} "
            "--out {output} &> {log}"
