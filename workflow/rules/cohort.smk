# Who was scanned, when: the download becomes scans, pairs and folds.


rule scan:
    """Read the download's headers and tables."""
    input:
        download,
        adnimerge=config["cohort"]["adnimerge"] or [],
        qc=config["cohort"]["qc"],
    output:
        scans="<results>/cohort/scans.tsv",
    log:
        "<logs>/scan.log",
    params:
        root=config["cohort"]["root"],
        options=flags(
            {
                name: config["cohort"][name]
                for name in (
                    "source",
                    "pet_level",
                    "t1_level",
                    "strict",
                    "allow_unlisted",
                )
            }
        ),
        adnimerge=lambda wildcards, input: [
            f"--adnimerge={path}" for path in [input.adnimerge] if path
        ],
        qc=[f"--qc={path}" for path in config["cohort"]["qc"]],
    shell:
        "dualglow scan {params.root:q} {params.options} {params.adnimerge:q} {params.qc:q} --out {output.scans} &> {log}"


checkpoint pair:
    """Pair each PET with the nearest T1 of the same person; say of every other scan why it is left out."""
    input:
        scans=rules.scan.output.scans,
        overrides=config["cohort"]["overrides"] or [],
    output:
        pairs="<results>/cohort/pairs.tsv",
        exclusions=(
            "<results>/cohort/exclusions.tsv"
            if PSEUDONYMS
            else report(
                "<results>/cohort/exclusions.tsv",
                category="1 Cohort",
                caption="../report/exclusions.rst",
                labels={"cohort": "4 Scans in no pair (download)"},
            )
        ),
    log:
        "<logs>/pair.log",
    params:
        max_days=config["cohort"]["max_days"],
        per_subject=config["cohort"]["pairs_per_subject"],
        overrides=lambda wildcards, input: [
            f"--overrides={path}" for path in [input.overrides] if path
        ],
    shell:
        "dualglow pair --scans {input.scans} --max-days {params.max_days} --pairs-per-subject {params.per_subject} "
        "{params.overrides:q} --out {output.pairs} --exclusions {output.exclusions} &> {log}"


rule pseudonyms:
    """Names for the report, from a salt that stays here; the key to them stays here as well."""
    input:
        pairs="<results>/cohort/pairs.tsv",
    output:
        "<results>/cohort/pseudonyms.tsv",
    log:
        "<logs>/pseudonyms.log",
    shell:
        "dualglow pseudonyms --pairs {input.pairs} --out {output} &> {log}"


checkpoint split:
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


rule cohort_figures:
    """How the download became pairs, and the days between T1 and PET."""
    input:
        scans=rules.scan.output.scans,
        pairs="<results>/cohort/pairs.tsv",
        exclusions="<results>/cohort/exclusions.tsv",
    output:
        flow=report(
            "<results>/figures/cohort.png",
            category="1 Cohort",
            caption="../report/cohort.rst",
            labels={"cohort": "1 From scans to pairs"},
        ),
        days=report(
            "<results>/figures/cohort_days.png",
            category="1 Cohort",
            caption="../report/cohort_days.rst",
            labels={"cohort": "2 Days between T1 and PET"},
        ),
        other=multiext(
            "<results>/figures/cohort", ".pdf", ".tsv", "_days.pdf", "_days.tsv"
        ),
    log:
        "<logs>/cohort_figures.log",
    params:
        stem=subpath(output.flow, strip_suffix=".png"),
        simulated="--simulated" if config["cohort"]["simulated"] else "",
    shell:
        "dualglow figure cohort --scans {input.scans} --pairs {input.pairs} --exclusions {input.exclusions} "
        "{params.simulated} --out {params.stem} &> {log}"


rule demographics:
    """Who trains, validates and is tested in every fold; checks folds.tsv, which may have been edited."""
    input:
        pairs="<results>/cohort/pairs.tsv",
        folds=rules.split.output.folds,
    output:
        "<results>/cohort/folds_demographics.tsv",
    log:
        "<logs>/demographics.log",
    shell:
        "dualglow split --check {input.folds} --pairs {input.pairs} --demographics {output} &> {log}"


rule table_folds:
    """The same as a table."""
    input:
        rules.demographics.output,
    output:
        tsv="<results>/tables/people_per_fold.tsv",
        page=report(
            "<results>/tables/people_per_fold.html",
            category="1 Cohort",
            caption="../report/demographics.rst",
            labels={"cohort": "3 People in every fold"},
        ),
        tex="<results>/tables/people_per_fold.tex",
    log:
        "<logs>/table_folds.log",
    localrule: True
    params:
        simulated="--simulated" if config["cohort"]["simulated"] else "",
    shell:
        "dualglow table folds --demographics {input} {params.simulated} --out {output.tsv} &> {log}"


rule cohort:
    """Target: scans, pairs, exclusions and folds, and their figures."""
    input:
        rules.scan.output,
        rules.pair.output,
        rules.split.output,
        rules.cohort_figures.output,
        rules.demographics.output,
        rules.table_folds.output,
