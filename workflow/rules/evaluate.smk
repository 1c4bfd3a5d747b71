# What the synthetic PETs are worth: tidy tables that the paper's tables and figures are drawn from.


rule evaluate:
    """Image metrics of every held-out pair, in the brain mask and over the box."""
    input:
        rules.pack.output,
        synthesis=rules.synthesise.output,
        folds=rules.split.output.folds,
    output:
        "<results>/metrics/{method}/fold-{fold}.tsv",
    log:
        "<logs>/evaluate/{method}_fold-{fold}.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dataset=subpath(input[0], parent=True),
        data_range=config["evaluation"]["data_range"],
    shell:
        "dualglow evaluate --dataset {params.dataset} --synthesis {input.synthesis} --folds {input.folds} "
        "--fold {wildcards.fold} --method {wildcards.method} --data-range {params.data_range} --out {output} &> {log}"


rule classify:
    """Diagnosis from regional means, real PET against synthetic: nested cross-validation of an RBF-SVM (table 2)."""
    input:
        rules.pack.output,
        synthesis=of_every_fold(SYNTHESIS, methods=UNDIAGNOSED),
        folds=rules.split.output.folds,
    output:
        table="<results>/metrics/classification.tsv",
        predictions="<results>/metrics/classification_predictions.tsv",
    log:
        "<logs>/classify.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        methods=" ".join(f"--methods {method}" for method in UNDIAGNOSED),
        atlas=config["evaluation"]["atlas"],
        seed=config["seed"],
    shell:
        "dualglow classify --dataset {params.dataset} --folds {input.folds} --synthesis {params.synthesis} "
        "{params.methods} --atlas {params.atlas} --seed {params.seed} --out {output.table} &> {log}"


SHOWN_REGIONS = [f"--regions={name}" for name in config["figures"]["regions"] or []]


rule age:
    """Regional means of real and synthetic PET beside age, sex and group."""
    input:
        rules.pack.output,
        synthesis=of_every_fold(SYNTHESIS, methods=[config["figures"]["method"]]),
        folds=rules.split.output.folds,
    output:
        means="<results>/metrics/age.tsv",
        slopes="<results>/metrics/age_slopes.tsv",
    log:
        "<logs>/age.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        method=config["figures"]["method"],
        atlas=config["evaluation"]["atlas"],
        regions=SHOWN_REGIONS,
    shell:
        "dualglow age --dataset {params.dataset} --synthesis {params.synthesis} --methods {params.method} "
        "--folds {input.folds} --atlas {params.atlas} {params.regions:q} --out {output.means} &> {log}"


for number in FOLDS:

    rule:
        name:
            f"fold_{number}"
        input:
            collect(
                "<results>/metrics/{method}/fold-{fold}.tsv",
                method=METHODS,
                fold=number,
            ),
        localrule: True
