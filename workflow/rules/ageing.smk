# What a model that reads ages makes of the same MRIs at other ages; nothing where the configuration has no such model.
AGES = "<results>/ages/{method}/fold-{fold}"


CONDITIONAL = conditional()

if CONDITIONAL:

    rule age_series:
        """The held-out MRIs at six ages; volumes of those people only whom figures 6 and 13 may show."""
        input:
            rules.pack.output,
            weights=f"<results>/models/{CONDITIONAL}/fold-{{fold}}/model.safetensors",
            card=f"<results>/models/{CONDITIONAL}/fold-{{fold}}/model.json",
            folds=rules.split.output.folds,
            metrics=f"<results>/metrics/{CONDITIONAL}/fold-{{fold}}.tsv",
        output:
            directory(AGES.replace("{method}", CONDITIONAL)),
        log:
            f"<logs>/age_series/{CONDITIONAL}_fold-{{fold}}.log",
        threads: config["training"]["threads"]
        resources:
            mem_mb=growing(8000),
            runtime=growing(120),
            gpu=min(gpus_of(CONDITIONAL), 1),
        params:
            dataset=subpath(input[0], parent=True),
            model=subpath(input.weights, parent=True),
            atlas=config["evaluation"]["atlas"],
        shell:
            "dualglow age-series --model {params.model} --dataset {params.dataset} --folds {input.folds} "
            "--fold {wildcards.fold} --metrics {input.metrics} --atlas {params.atlas} --threads {threads} "
            "--out {output} &> {log}"

    rule age_truth:
        """What the simulator's ageing alone does to the regions, for a simulated cohort."""
        input:
            rules.pack.output,
        output:
            "<results>/metrics/truth_slopes.tsv",
        log:
            "<logs>/age_truth.log",
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            dataset=subpath(input[0], parent=True),
            atlas=config["evaluation"]["atlas"],
        shell:
            "dualglow age-truth --dataset {params.dataset} --atlas {params.atlas} --out {output} &> {log}"

    rule age_slopes:
        """What the model makes of age against the slopes of the real PETs, and the true ones where they are known."""
        input:
            rules.pack.output,
            ages=of_every_fold(AGES, methods=[CONDITIONAL]),
            truth=rules.age_truth.output if config["cohort"]["simulated"] else [],
        output:
            "<results>/metrics/age_model_slopes.tsv",
        log:
            "<logs>/age_slopes.log",
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            dataset=subpath(input[0], parent=True),
            ages=ages_tables,
            truth=lambda wildcards, input: (
                f"--truth {input.truth}" if input.truth else ""
            ),
            atlas=config["evaluation"]["atlas"],
        shell:
            "dualglow age-slopes --dataset {params.dataset} --atlas {params.atlas} {params.truth} --out {output} "
            "--ages {params.ages} &> {log}"

    rule table_ageing:
        """Slopes of uptake with age."""
        input:
            rules.age_slopes.output,
        output:
            tsv="<results>/tables/ageing.tsv",
            page=report(
                "<results>/tables/ageing.html",
                category="4 Tables",
                caption="../report/ageing.rst",
                labels={"table": "Age: slopes of uptake"},
            ),
            tex="<results>/tables/ageing.tex",
        log:
            "<logs>/table_ageing.log",
        localrule: True
        params:
            regions=SHOWN_REGIONS,
        shell:
            "dualglow table ageing --slopes {input} {params.regions:q} --out {output.tsv} &> {log}"

    rule figure_ageing:
        """Estimated against real and true slopes."""
        input:
            rules.age_slopes.output,
        output:
            pdf="<results>/figures/ageing.pdf",
            png=report(
                "<results>/figures/ageing.png",
                category="5 Figures",
                caption="../report/ageing.rst",
                labels={"figure": "Age: slopes against real and true ones"},
            ),
            tsv="<results>/figures/ageing.tsv",
        log:
            "<logs>/figure_ageing.log",
        localrule: True
        params:
            stem=subpath(output.pdf, strip_suffix=".pdf"),
        shell:
            "dualglow figure ageing --slopes {input} --out {params.stem} &> {log}"
