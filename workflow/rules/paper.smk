# Every table of the paper, and the report that packs tables and figures.


rule table1:
    """Image metrics per method, over all held-out pairs."""
    input:
        METRICS,
    output:
        tsv="<results>/tables/table1.tsv",
        page=report(
            "<results>/tables/table1.html",
            category="4 Tables",
            caption="../report/table1.rst",
            labels={"table": "1 Image quality of every method"},
        ),
        tex="<results>/tables/table1.tex",
    log:
        "<logs>/table1.log",
    shell:
        "dualglow table 1 --metrics {input} --out {output.tsv} &> {log}"


rule table2:
    """Diagnosis from synthetic and from real PET."""
    input:
        rules.classify.output.table,
    output:
        tsv="<results>/tables/table2.tsv",
        page=report(
            "<results>/tables/table2.html",
            category="4 Tables",
            caption="../report/table2.rst",
            labels={"table": "2 Diagnosis from real and synthetic PET"},
        ),
        tex="<results>/tables/table2.tex",
    log:
        "<logs>/table2.log",
    shell:
        "dualglow table 2 --classification {input} --out {output.tsv} &> {log}"


rule table3:
    """Demographics of the packed pairs."""
    input:
        rules.pack.output.grid,
        pairs=rules.pack.output.pairs,
    output:
        tsv="<results>/tables/table3.tsv",
        page=report(
            "<results>/tables/table3.html",
            category="4 Tables",
            caption="../report/table3.rst",
            labels={"table": "3 People by diagnosis"},
        ),
        tex="<results>/tables/table3.tex",
    log:
        "<logs>/table3.log",
    shell:
        "dualglow table 3 --pairs {input.pairs} --out {output.tsv} &> {log}"


rule tables:
    """Target: every table."""
    input:
        rules.table1.output,
        rules.table2.output,
        rules.table3.output,
        rules.table_ageing.output if CONDITIONAL else [],
        [path for path in rules.statistics.input if "/tables/" in path],


rule methods:
    """The methods section of a paper, written from what was run."""
    input:
        rules.pack.output,
        rules.describe.output,
        of_every_fold("<results>/models/{method}/fold-{fold}/model.json"),
        rules.split.output.folds,
        config="<results>/config.json",
    output:
        text=report(
            "<results>/methods.md",
            category="6 Methods",
            caption="../report/methods.rst",
            labels={"methods": "2 The same as Markdown (download)"},
        ),
        page=report(
            "<results>/methods.html",
            category="6 Methods",
            caption="../report/methods.rst",
            labels={"methods": "1 Methods section, to read and copy"},
        ),
    log:
        "<logs>/methods.log",
    localrule: True
    params:
        results=subpath(output.text, parent=True),
    shell:
        "dualglow methods --results {params.results} --out {output.text} &> {log}"


rule overview:
    """The report's first page: who, how, and what came out."""
    input:
        rules.pack.output,
        rules.table1.output.tsv,
        rules.table2.output.tsv,
        rules.gain.output.tsv,
        rules.compare.output.tsv,
        config="<results>/config.json",
    output:
        report(
            "<results>/overview.html",
            category="0 Overview",
            caption="../report/overview.rst",
            labels={"overview": "Who, how, and the main result"},
        ),
    log:
        "<logs>/overview.log",
    localrule: True
    params:
        results=subpath(output[0], parent=True),
    shell:
        "dualglow overview --results {params.results} --out {output} &> {log}"


rule settings:
    """The configuration as it was used, defaults and changes together."""
    output:
        "<results>/config.json",
    log:
        "<logs>/settings.log",
    localrule: True
    params:
        config=json.dumps(config, sort_keys=True, indent=2),
    shell:
        "printf '%s\n' {params.config:q} > {output} 2> {log}"


rule named_report:
    """Snakemake's own report of all that was made. Its paths name people and scans: not to be shared."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.preprocess.input,
        rules.qc_report.output,
        rules.cohort.input,
        rules.methods.output,
        rules.overview.output,
        config=rules.settings.output,
    output:
        temp("<results>/report-with-names.zip"),
    log:
        "<logs>/named_report.log",
    localrule: True
    shell:
        "snakemake tables figures preprocess qc_report cohort methods overview --nolock --workflow-profile none --configfile {input.config} "
        "--report {output} &> {log}"


rule packed_report:
    """What a reader wants to see, with captions; people under pseudonyms unless the configuration says otherwise."""
    input:
        report=rules.named_report.output,
        scans=rules.scan.output.scans if PSEUDONYMS else [],
        pseudonyms=rules.pseudonyms.output if PSEUDONYMS else [],
    output:
        "<results>/report.zip",
    log:
        "<logs>/report.log",
    localrule: True
    params:
        inputs=lambda wildcards, input: flags(
            {name: path for name, path in input.items() if path}
        ),
    shell:
        "dualglow share {params.inputs} --out {output} &> {log}"


rule report:
    """Target: the report."""
    input:
        rules.packed_report.output,
