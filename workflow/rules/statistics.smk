# What the measurements mean: tests between methods, and tables beyond the paper's.


rule compare:
    """Paired tests of every other method against the one that the figures show."""
    input:
        rules.pack.output,
        metrics=of_every_fold(rules.evaluate.output[0]),
        folds=rules.split.output.folds,
    output:
        tsv=report(
            "<results>/tables/comparison.tsv",
            category="4 Tables",
            caption="../report/comparison.rst",
        ),
        tex="<results>/tables/comparison.tex",
    log:
        "<logs>/compare.log",
    params:
        dataset=subpath(input[0], parent=True),
        reference=config["figures"]["method"],
    shell:
        "dualglow compare --metrics {input.metrics} --dataset {params.dataset} --folds {input.folds} "
        "--reference {params.reference} --out {output.tsv} &> {log}"


rule figure_comparison:
    """How far that method is ahead of each other one."""
    input:
        rules.compare.output.tsv,
    output:
        pdf="<results>/figures/comparison.pdf",
        png=report(
            "<results>/figures/comparison.png",
            category="5 Figures",
            caption="../report/figure_comparison.rst",
        ),
        tsv="<results>/figures/comparison.tsv",
    log:
        "<logs>/figure_comparison.log",
    params:
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure comparison --comparison {input} --out {params.stem} &> {log}"


rule gain:
    """What a PET adds to the T1 alone in the diagnosis."""
    input:
        rules.classify.output.predictions,
        table=rules.classify.output.table,
    output:
        tsv=report(
            "<results>/tables/diagnosis_gain.tsv",
            category="4 Tables",
            caption="../report/diagnosis_gain.rst",
        ),
        tex="<results>/tables/diagnosis_gain.tex",
    log:
        "<logs>/gain.log",
    params:
        seed=config["seed"],
    shell:
        "dualglow gain --classification {input.table} --seed {params.seed} --out {output.tsv} &> {log}"


rule statistics:
    """Target: the tables and figures beyond the paper's."""
    input:
        rules.compare.output,
        rules.gain.output,
        rules.figure_comparison.output if len(METHODS) > 1 else [],
