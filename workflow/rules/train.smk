# One model per method and fold, then the PETs of the people that it has not seen.
MODEL = "<results>/models/{method}/fold-{fold}"
SYNTHESIS = "<results>/synthesis/{method}/fold-{fold}"


rule train:
    """Train one method on one fold; an interrupted training goes on where it stopped."""
    input:
        rules.pack.output,
        folds=rules.split.output.folds,
    output:
        weights=f"{MODEL}/model.safetensors",
        card=f"{MODEL}/model.json",
        table=f"{MODEL}/training.tsv",
        curve=report(
            f"{MODEL}/training.png",
            category="3 Training",
            caption="../report/training.rst",
            labels={"method": "{method}", "fold": "{fold}"},
        ),
    log:
        "<logs>/train/{method}_fold-{fold}.log",
    benchmark:
        "<benchmarks>/train/{method}_fold-{fold}.tsv"
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(1440),
        gpu=gpus,
        nodes=1,
        tasks_per_gpu=0,  # one task, which starts a process per GPU itself
    params:
        training=training_options,
        model=model_options,
        dataset=subpath(input[0], parent=True),
        out=subpath(output.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow train --dataset {params.dataset} --folds {input.folds} --fold {wildcards.fold} "
        "--method {wildcards.method} {params.model} {params.training} --seed {params.seed} --threads {threads} "
        "--gpus {resources.gpu} --out {params.out} &> {log}"


checkpoint synthesise:
    """The held-out people's PETs and their standard deviation, in SUVR; a checkpoint, as failed pairs have none."""
    input:
        rules.pack.output,
        weights=rules.train.output.weights,
        card=rules.train.output.card,
        folds=rules.split.output.folds,
    output:
        directory(SYNTHESIS),
    log:
        "<logs>/synthesise/{method}_fold-{fold}.log",
    benchmark:
        "<benchmarks>/synthesise/{method}_fold-{fold}.tsv"
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=one_gpu,
    params:
        options=flags(config["synthesis"]),
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow synthesise --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} {params.options} --seed {params.seed} --threads {threads} --out {output} &> {log}"
