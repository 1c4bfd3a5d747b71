# Who was scanned, when: the download becomes scans, pairs and folds.


rule scan:
    """Read the download's headers and tables."""
    input:
        download,
    output:
        scans="<results>/cohort/scans.tsv",
    log:
        "<logs>/scan.log",
    params:
        root=config["cohort"]["root"],
        source=config["cohort"]["source"],
    shell:
        "dualglow scan {params.root:q} --source {params.source} --out {output.scans} &> {log}"


checkpoint pair:
    """Pair each PET with the nearest T1 of the same person; say of every other scan why it is left out."""
    input:
        scans=rules.scan.output.scans,
    output:
        pairs="<results>/cohort/pairs.tsv",
        exclusions=report(
            "<results>/cohort/exclusions.tsv",
            category="1 Cohort",
            caption="../report/exclusions.rst",
        ),
    log:
        "<logs>/pair.log",
    params:
        max_days=config["cohort"]["max_days"],
        per_subject=config["cohort"]["pairs_per_subject"],
    shell:
        "dualglow pair --scans {input.scans} --max-days {params.max_days} --pairs-per-subject {params.per_subject} "
        "--out {output.pairs} --exclusions {output.exclusions} &> {log}"


rule split:
    """Divide the people, not the scans, into folds; the table may be edited by hand."""
    input:
        pairs="<results>/cohort/pairs.tsv",
    output:
        folds="<results>/cohort/folds.tsv",
    log:
        "<logs>/split.log",
    params:
        options=flags(config["split"]),
        seed=config["seed"],
    shell:
        "dualglow split --pairs {input.pairs} {params.options} --seed {params.seed} --out {output.folds} &> {log}"


rule cohort:
    """Target: scans, pairs, exclusions and folds."""
    input:
        rules.scan.output,
        rules.pair.output,
        rules.split.output,
