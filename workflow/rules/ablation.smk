# λ of eq. 12, the weight of p(MRI): DUAL-GLOW trained with every value of a grid, with a target of its own (figure 17).
from snakemake.utils import Paramspace

SWEEP = Paramspace(
    pd.DataFrame(
        [
            {"prior_weight": f"{weight:g}", "fold": str(fold)}
            for weight in config["ablation"]["prior_weight"]
            for fold in config["ablation"]["folds"]
        ]
    )
)
ABLATED = f"<results>/ablation/{SWEEP.wildcard_pattern}"
ABLATED_LOG = "<logs>/ablation/prior_weight~{prior_weight}_fold~{fold}"


rule ablation_train:
    """DUAL-GLOW with one λ on one fold."""
    input:
        rules.pack.output,
        folds=rules.split.output.folds,
    output:
        weights=f"{ABLATED}/model/model.safetensors",
        card=f"{ABLATED}/model/model.json",
    log:
        f"{ABLATED_LOG}_train.log",
    wildcard_constraints:
        prior_weight=r"[0-9.e+-]+",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(1440),
        gpu=config["training"]["gpus"],
        nodes=1,
        tasks_per_gpu=0,
    params:
        options=ablated_options,
        dataset=subpath(input[0], parent=True),
        out=subpath(output.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow train --dataset {params.dataset} --folds {input.folds} --fold {wildcards.fold} --method dualglow "
        "{params.options} --seed {params.seed} --threads {threads} --gpus {resources.gpu} --out {params.out} &> {log}"


rule ablation_synthesise:
    """Its held-out people's PETs."""
    input:
        rules.pack.output,
        weights=rules.ablation_train.output.weights,
        card=rules.ablation_train.output.card,
        folds=rules.split.output.folds,
    output:
        directory(f"{ABLATED}/synthesis"),
    log:
        f"{ABLATED_LOG}_synthesise.log",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=min(config["training"]["gpus"], 1),
    params:
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow synthesise --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} --samples 2 --seed {params.seed} --threads {threads} --out {output} &> {log}"


rule ablation_evaluate:
    """Their errors."""
    input:
        rules.pack.output,
        synthesis=rules.ablation_synthesise.output,
        folds=rules.split.output.folds,
    output:
        f"{ABLATED}/metrics.tsv",
    log:
        f"{ABLATED_LOG}_evaluate.log",
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dataset=subpath(input[0], parent=True),
        data_range=config["evaluation"]["data_range"],
    shell:
        "dualglow evaluate --dataset {params.dataset} --synthesis {input.synthesis} --folds {input.folds} "
        "--fold {wildcards.fold} --method dualglow --data-range {params.data_range} --out {output} &> {log}"


rule ablation_likelihood:
    """Bits per voxel of the held-out real PETs."""
    input:
        rules.pack.output,
        weights=rules.ablation_train.output.weights,
        card=rules.ablation_train.output.card,
        folds=rules.split.output.folds,
    output:
        f"{ABLATED}/likelihood.tsv",
    log:
        f"{ABLATED_LOG}_likelihood.log",
    threads: config["training"]["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(120),
        gpu=min(config["training"]["gpus"], 1),
    params:
        options=flags(config["likelihood"]),
        dataset=subpath(input[0], parent=True),
        model=subpath(input.weights, parent=True),
        seed=config["seed"],
    shell:
        "dualglow likelihood --model {params.model} --dataset {params.dataset} --folds {input.folds} "
        "--fold {wildcards.fold} {params.options} --seed {params.seed} --threads {threads} --out {output} &> {log}"


rule figure17:
    """Error and bits against λ."""
    input:
        cards=ablated("model/model.json"),
        metrics=ablated("metrics.tsv"),
        likelihood=ablated("likelihood.tsv"),
    output:
        pdf="<results>/figures/figure17.pdf",
        png=report(
            "<results>/figures/figure17.png",
            category="5 Figures",
            caption="../report/figure17.rst",
            labels={"figure": "17 λ, the weight of p(MRI)"},
        ),
        tsv="<results>/figures/figure17.tsv",
    log:
        "<logs>/figure17.log",
    localrule: True
    params:
        runs=[str(Path(path).parent) for path in ablated("metrics.tsv")],
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    shell:
        "dualglow figure 17 --runs {params.runs} --out {params.stem} &> {log}"


rule ablation:
    """Target: λ's ablation."""
    input:
        rules.figure17.output,
    localrule: True
