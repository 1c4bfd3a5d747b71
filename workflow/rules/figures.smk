# Every figure of the paper, each drawn from a tidy table that stands beside it.
METRICS = of_every_fold("<results>/metrics/{method}/fold-{fold}.tsv")
SHOWN = config["figures"]["method"]


rule figure4:
    """Error per method."""
    input:
        METRICS,
    output:
        pdf="<results>/figures/figure4.pdf",
        png=report(
            "<results>/figures/figure4.png",
            category="5 Figures",
            caption="../report/figure4.rst",
            labels={"figure": "04 Error of every method"},
        ),
        tsv="<results>/figures/figure4.tsv",
    log:
        "<logs>/figure4.log",
    params:
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure 4 --metrics {input} --out {params.stem} &> {log}"


# MRI, real and synthetic PET of held-out people, chosen by their error.
for number, shows in {
    5: "05 One held-out person per diagnosis",
    9: "09 Held-out people: CN, SMC",
    10: "10 Held-out people: EMCI, MCI, LMCI",
    11: "11 Held-out people: AD",
}.items():

    rule:
        name:
            f"figure{number}"
        input:
            rules.pack.output,
            synthesis=of_every_fold(
                "<results>/synthesis/{method}/fold-{fold}", methods=[SHOWN]
            ),
            metrics=of_every_fold(
                "<results>/metrics/{method}/fold-{fold}.tsv", methods=[SHOWN]
            ),
        output:
            pdf=f"<results>/figures/figure{number}.pdf",
            png=report(
                f"<results>/figures/figure{number}.png",
                category="5 Figures",
                caption="../report/figure_people.rst",
                labels={"figure": shows},
            ),
            tsv=f"<results>/figures/figure{number}.tsv",
        log:
            f"<logs>/figure{number}.log",
        params:
            number=number,
            dataset=subpath(input[0], parent=True),
            synthesis=f"{RESULTS}/synthesis",
            method=SHOWN,
            stem=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "dualglow figure {params.number} --dataset {params.dataset} --synthesis {params.synthesis} "
            "--method {params.method} --metrics {input.metrics} --out {params.stem} &> {log}"


rule figure7:
    """Regional uptake against age; with a model that reads ages also the same MRIs at other ages."""
    input:
        means=rules.age.output.means,
        ages=of_every_fold(AGES, methods=[CONDITIONAL]) if CONDITIONAL else [],
    output:
        pdf="<results>/figures/figure7.pdf",
        png=report(
            "<results>/figures/figure7.png",
            category="5 Figures",
            caption="../report/figure7.rst",
            labels={"figure": "07 Uptake against age"},
        ),
        tsv="<results>/figures/figure7.tsv",
    log:
        "<logs>/figure7.log",
    params:
        ages=lambda wildcards, input: " ".join(
            ["--ages", *found] if (found := ages_tables(wildcards, input)) else []
        ),
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure 7 --roi-age {input.means} --out {params.stem} {params.ages} &> {log}"


rule figure12:
    """Difference maps of the same people, method by method."""
    input:
        rules.pack.output,
        synthesis=of_every_fold("<results>/synthesis/{method}/fold-{fold}"),
        metrics=METRICS,
    output:
        pdf="<results>/figures/figure12.pdf",
        png=report(
            "<results>/figures/figure12.png",
            category="5 Figures",
            caption="../report/figure12.rst",
            labels={"figure": "12 Error maps of every method"},
        ),
        tsv="<results>/figures/figure12.tsv",
    log:
        "<logs>/figure12.log",
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        method=SHOWN,
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure 12 --dataset {params.dataset} --synthesis {params.synthesis} --method {params.method} "
        "--metrics {input.metrics} --out {params.stem} &> {log}"


if CONDITIONAL:

    # The same MRIs at six ages.
    for number, shows in {
        6: "06 One MRI at six ages, per diagnosis",
        13: "13 One MRI at six ages, other people",
    }.items():

        rule:
            name:
                f"figure{number}"
            input:
                rules.pack.output,
                series=of_every_fold(AGES, methods=[CONDITIONAL]),
                metrics=of_every_fold(
                    "<results>/metrics/{method}/fold-{fold}.tsv", methods=[CONDITIONAL]
                ),
            output:
                pdf=f"<results>/figures/figure{number}.pdf",
                png=report(
                    f"<results>/figures/figure{number}.png",
                    category="5 Figures",
                    caption="../report/figure_ages.rst",
                    labels={"figure": shows},
                ),
                tsv=f"<results>/figures/figure{number}.tsv",
            log:
                f"<logs>/figure{number}.log",
            params:
                number=number,
                dataset=subpath(input[0], parent=True),
                series=f"{RESULTS}/ages/{CONDITIONAL}",
                stem=subpath(output.pdf, strip_suffix=".pdf"),
            shell:
                "dualglow figure {params.number} --dataset {params.dataset} --series {params.series} "
                "--metrics {input.metrics} --out {params.stem} &> {log}"

    rule figure14:
        """Thirty regions over six ages."""
        input:
            ages=of_every_fold(AGES, methods=[CONDITIONAL]),
        output:
            pdf="<results>/figures/figure14.pdf",
            png=report(
                "<results>/figures/figure14.png",
                category="5 Figures",
                caption="../report/figure14.rst",
                labels={"figure": "14 Thirty regions over six ages"},
            ),
            tsv="<results>/figures/figure14.tsv",
        log:
            "<logs>/figure14.log",
        params:
            ages=ages_tables,
            stem=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "dualglow figure 14 --ages {params.ages} --out {params.stem} &> {log}"


rule figures:
    """Target: every figure."""
    input:
        rules.figure4.output,
        rules.figure5.output,
        rules.figure9.output,
        rules.figure10.output,
        rules.figure11.output,
        rules.figure7.output,
        rules.figure12.output,
        (
            [
                rules.figure6.output,
                rules.figure13.output,
                rules.figure14.output,
                rules.figure_ageing.output,
            ]
            if CONDITIONAL
            else []
        ),
        [path for path in rules.statistics.input if "/figures/" in path],
