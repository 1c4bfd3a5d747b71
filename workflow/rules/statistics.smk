# What the measurements mean: tests between methods, and tables beyond the paper's.

EVERY_METHOD = " ".join(f"--methods {method}" for method in METHODS)
EVERY_UNDIAGNOSED = " ".join(f"--methods {method}" for method in UNDIAGNOSED)


rule compare:
    """Paired tests of every other method against the one that the figures show."""
    input:
        rules.pack.output,
        metrics=of_every_fold(rules.evaluate.output[0]),
        folds=rules.split.output.folds,
    output:
        tsv="<results>/tables/comparison.tsv",
        page=report(
            "<results>/tables/comparison.html",
            category="4 Tables",
            caption="../report/comparison.rst",
            labels={"table": "Comparison: is one method better?"},
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
            labels={"figure": "Comparison: how far ahead of the others"},
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
        tsv="<results>/tables/diagnosis_gain.tsv",
        page=report(
            "<results>/tables/diagnosis_gain.html",
            category="4 Tables",
            caption="../report/diagnosis_gain.rst",
            labels={"table": "Diagnosis: what a PET adds to the T1"},
        ),
        tex="<results>/tables/diagnosis_gain.tex",
    log:
        "<logs>/gain.log",
    params:
        seed=config["seed"],
    shell:
        "dualglow gain --classification {input.table} --seed {params.seed} --out {output.tsv} &> {log}"


rule effects:
    """AD against CN at every voxel and region, in real and synthetic PET."""
    input:
        rules.pack.output,
        synthesis=of_every_fold(SYNTHESIS, methods=UNDIAGNOSED),
        folds=rules.split.output.folds,
    output:
        maps=directory("<results>/effects"),
        tsv="<results>/tables/effects.tsv",
        page=report(
            "<results>/tables/effects.html",
            category="4 Tables",
            caption="../report/effects.rst",
            labels={"table": "Effect of AD against CN"},
        ),
        tex="<results>/tables/effects.tex",
        regions="<results>/tables/effects_regions.tsv",
    log:
        "<logs>/effects.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        methods=EVERY_UNDIAGNOSED,
        atlas=config["evaluation"]["atlas"],
    shell:
        "dualglow effects --dataset {params.dataset} --folds {input.folds} --synthesis {params.synthesis} "
        "{params.methods} --atlas {params.atlas} --maps {output.maps} --out {output.tsv} &> {log}"


rule figure_effects:
    """These maps side by side."""
    input:
        rules.pack.output,
        maps=rules.effects.output.maps,
        table=rules.effects.output.tsv,
    output:
        pdf="<results>/figures/effects.pdf",
        png=report(
            "<results>/figures/effects.png",
            category="5 Figures",
            caption="../report/figure_effects.rst",
            labels={"figure": "Effect maps of AD against CN"},
        ),
        tsv="<results>/figures/effects.tsv",
    log:
        "<logs>/figure_effects.log",
    params:
        dataset=subpath(input[0], parent=True),
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure effects --maps {input.maps} --effects {input.table} --dataset {params.dataset} "
        "--out {params.stem} &> {log}"


rule agreement:
    """Bias per region, and limits of agreement of the AD meta-region where the atlas has it: else its table says not."""
    input:
        rules.pack.output,
        synthesis=of_every_fold(SYNTHESIS),
        folds=rules.split.output.folds,
    output:
        tsv="<results>/tables/agreement.tsv",
        page=report(
            "<results>/tables/agreement.html",
            category="4 Tables",
            caption="../report/agreement.rst",
            labels={"table": "Agreement in the AD meta-region"},
        ),
        tex="<results>/tables/agreement.tex",
        regions="<results>/tables/agreement_regions.tsv",
        pairs="<results>/tables/agreement_pairs.tsv",
    log:
        "<logs>/agreement.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        methods=EVERY_METHOD,
        atlas=config["evaluation"]["atlas"],
    shell:
        "dualglow agreement --dataset {params.dataset} --folds {input.folds} --synthesis {params.synthesis} "
        "{params.methods} --atlas {params.atlas} --out {output.tsv} &> {log}"


rule figure_agreement:
    """Bland-Altman plots of the AD meta-region."""
    input:
        rules.agreement.output.pairs,
        table=rules.agreement.output.tsv,
    output:
        pdf="<results>/figures/agreement.pdf",
        png=report(
            "<results>/figures/agreement.png",
            category="5 Figures",
            caption="../report/figure_agreement.rst",
            labels={"figure": "Agreement in the AD meta-region"},
        ),
        tsv="<results>/figures/agreement.tsv",
    log:
        "<logs>/figure_agreement.log",
    params:
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure agreement --agreement {input.table} --out {params.stem} &> {log}"


rule table_calibration:
    """Coverage of the 50, 90 and 95 % intervals and CRPS per method."""
    input:
        of_every_fold(rules.calibrate.output[0], methods=CALIBRATED),
    output:
        tsv="<results>/tables/calibration.tsv",
        page=report(
            "<results>/tables/calibration.html",
            category="4 Tables",
            caption="../report/calibration.rst",
            labels={"table": "Calibration of the uncertainty"},
        ),
        tex="<results>/tables/calibration.tex",
    log:
        "<logs>/table_calibration.log",
    shell:
        "dualglow table calibration --calibration {input} --out {output.tsv} &> {log}"


rule figure_calibration:
    """Reliability curves."""
    input:
        of_every_fold(rules.calibrate.output[0], methods=CALIBRATED),
    output:
        pdf="<results>/figures/calibration.pdf",
        png=report(
            "<results>/figures/calibration.png",
            category="5 Figures",
            caption="../report/figure_calibration.rst",
            labels={"figure": "Calibration of the uncertainty"},
        ),
        tsv="<results>/figures/calibration.tsv",
    log:
        "<logs>/figure_calibration.log",
    params:
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure calibration --calibration {input} --out {params.stem} &> {log}"


rule table_likelihood:
    """Bits per voxel of the held-out real PETs, per method."""
    input:
        of_every_fold(rules.measure_likelihood.output[0], methods=EXACT),
    output:
        tsv="<results>/tables/likelihood.tsv",
        page=report(
            "<results>/tables/likelihood.html",
            category="4 Tables",
            caption="../report/likelihood.rst",
            labels={"table": "Likelihood: bits per voxel"},
        ),
        tex="<results>/tables/likelihood.tex",
    log:
        "<logs>/table_likelihood.log",
    shell:
        "dualglow table likelihood --likelihood {input} --out {output.tsv} &> {log}"


rule figure_likelihood:
    """The same by diagnosis."""
    input:
        of_every_fold(rules.measure_likelihood.output[0], methods=EXACT),
    output:
        pdf="<results>/figures/likelihood.pdf",
        png=report(
            "<results>/figures/likelihood.png",
            category="5 Figures",
            caption="../report/figure_likelihood.rst",
            labels={"figure": "Likelihood: bits per voxel by diagnosis"},
        ),
        tsv="<results>/figures/likelihood.tsv",
    log:
        "<logs>/figure_likelihood.log",
    params:
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure likelihood --likelihood {input} --out {params.stem} &> {log}"


rule likelihood:
    """Target: the likelihood of every held-out real PET; nothing where no method has a density."""
    input:
        [rules.table_likelihood.output, rules.figure_likelihood.output] if EXACT else [],


rule reference_regions:
    """What another SUVR reference region would have changed."""
    input:
        rules.pack.output,
        synthesis=of_every_fold(SYNTHESIS, methods=UNDIAGNOSED),
        folds=rules.split.output.folds,
    output:
        tsv="<results>/tables/reference_regions.tsv",
        page=report(
            "<results>/tables/reference_regions.html",
            category="4 Tables",
            caption="../report/reference_regions.rst",
            labels={"table": "Reference regions"},
        ),
        tex="<results>/tables/reference_regions.tex",
    log:
        "<logs>/reference_regions.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        dataset=subpath(input[0], parent=True),
        synthesis=f"{RESULTS}/synthesis",
        methods=EVERY_UNDIAGNOSED,
        atlas=config["evaluation"]["atlas"],
        seed=config["seed"],
    shell:
        "dualglow reference-regions --dataset {params.dataset} --folds {input.folds} --synthesis {params.synthesis} "
        "{params.methods} --atlas {params.atlas} --seed {params.seed} --out {output.tsv} &> {log}"


rule table_resources:
    """Time and memory per method; the benchmark files are no inputs, for without one its model would be trained again."""
    input:
        of_every_fold(SYNTHESIS),
    output:
        tsv="<results>/tables/resources.tsv",
        page=report(
            "<results>/tables/resources.html",
            category="4 Tables",
            caption="../report/resources.rst",
            labels={"table": "Time and memory"},
        ),
        tex="<results>/tables/resources.tex",
    log:
        "<logs>/table_resources.log",
    params:
        benchmarks=f"{RESULTS}/benchmarks",
        methods=EVERY_METHOD,
        simulated="--simulated" if config["cohort"]["simulated"] else "",
    shell:
        "dualglow table resources --benchmarks {params.benchmarks} {params.methods} {params.simulated} "
        "--out {output.tsv} &> {log}"


rule statistics:
    """Target: the tables and figures beyond the paper's."""
    input:
        rules.compare.output,
        rules.gain.output,
        rules.effects.output,
        rules.figure_effects.output,
        rules.agreement.output,
        rules.figure_agreement.output,
        rules.figure_comparison.output if len(METHODS) > 1 else [],
        (
            [rules.table_calibration.output, rules.figure_calibration.output]
            if CALIBRATED
            else []
        ),
        rules.likelihood.input,
        rules.reference_regions.output,
        rules.table_resources.output,
