# Every table and figure of the paper, each drawn from a tidy table that stands beside it, and the report that packs them.
DATASET = "<results>/dataset"
METRICS = "<results>/metrics/{method}/fold-{fold}.tsv"
FIGURES = ["figure4", "figure5", "figure7"]
TABLES = ["table1", "table2", "table3"]


rule table1:
    """Image metrics per method, over all held-out pairs."""
    input:
        metrics=of_every_fold(METRICS),
        dataset=rules.pack.output,
    output:
        tsv=report("<results>/tables/table1.tsv", category="4 Tables", caption="../report/table1.rst"),
        tex="<results>/tables/table1.tex",
    log:
        "<logs>/table1.log",
    params:
        metrics=lambda wildcards, input: [f"--metrics {path}" for path in input.metrics],
        dataset=subpath(input.dataset[0], parent=True),
    shell:
        "dualglow table 1 {params.metrics} --dataset {params.dataset} --out {output.tsv} &> {log}"


rule table2:
    """Diagnosis from synthetic and from real PET."""
    input:
        classification=rules.classify.output,
        dataset=rules.pack.output,
    output:
        tsv=report("<results>/tables/table2.tsv", category="4 Tables", caption="../report/table2.rst"),
        tex="<results>/tables/table2.tex",
    log:
        "<logs>/table2.log",
    params:
        dataset=subpath(input.dataset[0], parent=True),
    shell:
        "dualglow table 2 --classification {input.classification} --dataset {params.dataset} --out {output.tsv} &> {log}"


rule table3:
    """Demographics."""
    input:
        dataset=rules.pack.output,
    output:
        tsv=report("<results>/tables/table3.tsv", category="4 Tables", caption="../report/table3.rst"),
        tex="<results>/tables/table3.tex",
    log:
        "<logs>/table3.log",
    params:
        dataset=subpath(input.dataset[0], parent=True),
    shell:
        "dualglow table 3 --dataset {params.dataset} --out {output.tsv} &> {log}"
