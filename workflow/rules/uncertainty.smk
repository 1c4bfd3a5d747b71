# What a flow knows beyond its prediction: how probable the held-out real PETs are, and where they are surprising.
EXACT = [name for name in METHODS if name in ("dualglow", "dualglow-conditional")]
CALIBRATED = [name for name in METHODS if name in config["evaluation"]["calibrated"]]


rule measure_likelihood:
    """Exact bits per voxel of the held-out real PETs given their T1s."""
    input:
        rules.pack.output,
        weights=rules.train.output.weights,
        card=rules.train.output.card,
        folds=rules.split.output.folds,
    output:
        "<results>/likelihood/{method}/fold-{fold}.tsv",
    log:
        "<logs>/likelihood/{method}_fold-{fold}.log",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(120),
        gpu=one_gpu,
    params:
        options=flags(config["likelihood"]),
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow likelihood --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} {params.options} --seed {params.seed} --threads {threads} --out {output} &> {log}"


rule map_surprise:
    """Where the held-out real PETs are unlike the model's samples: z maps, regions and pictures."""
    input:
        rules.pack.output,
        weights=rules.train.output.weights,
        card=rules.train.output.card,
        folds=rules.split.output.folds,
    output:
        directory("<results>/surprise/{method}/fold-{fold}"),
    log:
        "<logs>/surprise/{method}_fold-{fold}.log",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=one_gpu,
    params:
        options=flags(config["surprise"]),
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        atlas=config["evaluation"]["atlas"],
        seed=config["seed"],
    shell:
        "dualglow surprise --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} {params.options} --atlas {params.atlas} --seed {params.seed} --threads {threads} "
        "--out {output} &> {log}"


rule surprise:
    """Target: the z maps of every held-out real PET."""
    input:
        of_every_fold(rules.map_surprise.output[0]),


rule calibrate:
    """Coverage of the intervals of a model's samples, and CRPS."""
    input:
        rules.pack.output,
        weights=rules.train.output.weights,
        card=rules.train.output.card,
        folds=rules.split.output.folds,
    output:
        "<results>/calibration/{method}/fold-{fold}.tsv",
    log:
        "<logs>/calibrate/{method}_fold-{fold}.log",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=one_gpu,
    params:
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        samples=config["evaluation"]["samples"],
        atlas=config["evaluation"]["atlas"],
        seed=config["seed"],
    shell:
        "dualglow calibrate --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} --samples {params.samples} --atlas {params.atlas} --seed {params.seed} "
        "--threads {threads} --out {output} &> {log}"
