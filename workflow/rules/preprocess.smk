# Scanner space to model grid: ANTs through nipype, one pair and one step a job.
SEED = config["seed"]
ENGINE = config["preprocess"]["engine"]
PRESET = config["preprocess"]["preset"]
ADOPTED = config["preprocess"]["derivatives"]


rule convert_t1:
    """One 3D T1 in RAS+ orientation; the image may lie in a zip or among a folder's DICOM slices."""
    input:
        raw("t1_paths"),
    output:
        derivative("anat", "T1w", desc="converted"),
    log:
        f"<logs>/convert_t1/{PAIR}.log",
    benchmark:
        f"<benchmarks>/convert_t1/{PAIR}.tsv"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        images=images("t1_paths"),
    shell:
        "dualglow convert {params.images:q} --modality t1 --out {output} &> {log}"


rule convert_pet:
    """The frames of a PET in RAS+ orientation, their motion, and their mean in one pose."""
    input:
        raw("pet_paths"),
    output:
        # Large, and of use to coregistration and resampling alone; --notemp keeps them.
        mean=intermediate("pet", "pet", desc="mean"),
        frames=intermediate("pet", "pet", desc="frames"),
        motion=derivative("pet", "motion", ".tsv"),
    log:
        f"<logs>/convert_pet/{PAIR}.log",
    benchmark:
        f"<benchmarks>/convert_pet/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        images=images("pet_paths"),
        engine=ENGINE,
        seed=SEED,
    shell:
        "dualglow convert {params.images:q} --modality pet --out {output.mean} --frames {output.frames} "
        "--motion {output.motion} --engine {params.engine} --seed {params.seed} &> {log}"


if ADOPTED:

    ruleorder: adopt > segment

    rule adopt:
        """Another program's bias-corrected T1, tissues and brain mask, in the place of ours."""
        input:
            processed,
            t1=rules.convert_t1.output,
        output:
            t1=derivative("anat", "T1w", desc="preproc"),
            gm=derivative("anat", "probseg", label="GM"),
            wm=derivative("anat", "probseg", label="WM"),
            csf=derivative("anat", "probseg", label="CSF"),
            mask=derivative("anat", "mask", desc="brain"),
            metrics=derivative("anat", "qc", ".json", desc="adoption"),
        log:
            f"<logs>/adopt/{PAIR}.log",
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            outputs=lambda wildcards, output: flags(
                {f"out_{name}": path for name, path in output.items()}
            ),
            derivatives=ADOPTED,
            scan=images("t1_paths"),
            pair=PAIR,
            preset=PRESET,
            engine=ENGINE,
        shell:
            "dualglow adopt --derivatives {params.derivatives:q} --pair {params.pair} --scan {params.scan:q} "
            "--converted {input.t1} {params.outputs} --preset {params.preset} --engine {params.engine} &> {log}"


rule normalise:
    """T1 to MNI152: affine, bias field, SyN."""
    input:
        t1=derivative("anat", "T1w", desc="preproc" if ADOPTED else "converted"),
    output:
        biascorrected=derivative("anat", "T1w", desc="biascorrected"),
        affine=derivative(
            "anat", "xfm", ".mat", from_="T1w", to="MNI152", desc="affine"
        ),
        warp=derivative("anat", "xfm", from_="T1w", to="MNI152", desc="warp"),
        inverse_warp=derivative("anat", "xfm", from_="MNI152", to="T1w", desc="warp"),
        metrics=derivative("anat", "qc", ".json", desc="normalisation"),
    log:
        f"<logs>/normalise/{PAIR}.log",
    benchmark:
        f"<benchmarks>/normalise/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        corrected="--corrected" if ADOPTED else "",
        preset=PRESET,
        engine=ENGINE,
        seed=SEED,
    shell:
        "dualglow normalise --t1 {input.t1} --biascorrected {output.biascorrected} --affine {output.affine} "
        "--warp {output.warp} --inverse-warp {output.inverse_warp} --metrics {output.metrics} {params.corrected} "
        "--preset {params.preset} --engine {params.engine} --seed {params.seed} &> {log}"


rule segment:
    """Grey matter, white matter, CSF and the brain mask, in T1 space."""
    input:
        t1=rules.normalise.output.biascorrected,
        affine=rules.normalise.output.affine,
        inverse_warp=rules.normalise.output.inverse_warp,
    output:
        gm=derivative("anat", "probseg", label="GM"),
        wm=derivative("anat", "probseg", label="WM"),
        csf=derivative("anat", "probseg", label="CSF"),
        mask=derivative("anat", "mask", desc="brain"),
    log:
        f"<logs>/segment/{PAIR}.log",
    benchmark:
        f"<benchmarks>/segment/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        preset=PRESET,
        engine=ENGINE,
    shell:
        "dualglow segment --t1 {input.t1} --affine {input.affine} --inverse-warp {input.inverse_warp} "
        "--gm {output.gm} --wm {output.wm} --csf {output.csf} --mask {output.mask} "
        "--preset {params.preset} --engine {params.engine} &> {log}"


SEGMENTED = rules.adopt if ADOPTED else rules.segment


rule coregister:
    """Rigid PET → T1 (mutual information), as SPM12's Coregister: Estimate."""
    input:
        t1=rules.normalise.output.biascorrected,
        pet=rules.convert_pet.output.mean,
    output:
        transform=derivative("pet", "xfm", ".mat", from_="pet", to="T1w"),
        metrics=derivative("pet", "qc", ".json", desc="coregistration"),
    log:
        f"<logs>/coregister/{PAIR}.log",
    benchmark:
        f"<benchmarks>/coregister/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        preset=PRESET,
        engine=ENGINE,
        seed=SEED,
    shell:
        "dualglow coregister --t1 {input.t1} --pet {input.pet} --transform {output.transform} "
        "--metrics {output.metrics} --preset {params.preset} --engine {params.engine} --seed {params.seed} &> {log}"


MNI = {"space": "MNI152"}
MODEL_GRID = {"space": "MNI152", "res": "model"}


# A region by its name, or a mask by its path.
REFERENCE = config["preprocess"]["reference"]


rule resample:
    """T1, tissues and PET to MNI152 and the model grid, each in one interpolation; PET in SUVR."""
    input:
        [REFERENCE] if REFERENCE.endswith((".nii", ".nii.gz")) else [],
        t1=rules.normalise.output.biascorrected,
        affine=rules.normalise.output.affine,
        warp=rules.normalise.output.warp,
        mask=SEGMENTED.output.mask,
        gm=SEGMENTED.output.gm,
        wm=SEGMENTED.output.wm,
        csf=SEGMENTED.output.csf,
        pet=rules.convert_pet.output.frames,
        motion=rules.convert_pet.output.motion,
        rigid=rules.coregister.output.transform,
    output:
        mni_t1=derivative("anat", "T1w", desc="brain", **MNI),
        mni_mask=derivative("anat", "mask", desc="brain", **MNI),
        mni_gm=derivative("anat", "probseg", label="GM", **MNI),
        mni_wm=derivative("anat", "probseg", label="WM", **MNI),
        mni_csf=derivative("anat", "probseg", label="CSF", **MNI),
        model_t1=derivative("anat", "T1w", desc="brain", **MODEL_GRID),
        model_mask=derivative("anat", "mask", desc="brain", **MODEL_GRID),
        t1_pet=derivative("pet", "pet", desc="suvr", space="T1w"),
        mni_pet=derivative("pet", "pet", desc="suvr", **MNI),
        model_pet=derivative("pet", "pet", desc="suvr", **MODEL_GRID),
        suvr_qc=derivative("pet", "qc", ".json", desc="suvr"),
    log:
        f"<logs>/resample/{PAIR}.log",
    benchmark:
        f"<benchmarks>/resample/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        inputs=lambda wildcards, input: flags(dict(input.items())),
        outputs=lambda wildcards, output: flags(dict(output.items())),
        reference=REFERENCE,
        engine=ENGINE,
    shell:
        "dualglow resample {params.inputs} {params.outputs} --reference {params.reference:q} "
        "--engine {params.engine} &> {log}"


# What the pages of quality control show: all pairs. Of the excluded ones they show what there is: nothing is made for them.
QC_INPUTS = {
    "pairs": "<results>/cohort/pairs.tsv",
    "metrics": for_every_pair("pet", "qc", ".json", desc="pair"),
    "exclude": config["preprocess"]["exclude"] or [],
}


rule qc:
    """The pictures and numbers by which a person, or a threshold, sees whether this pair can be used."""
    input:
        t1=rules.normalise.output.biascorrected,
        gm=SEGMENTED.output.gm,
        wm=SEGMENTED.output.wm,
        csf=SEGMENTED.output.csf,
        mask=SEGMENTED.output.mask,
        warp=rules.normalise.output.warp,
        t1_pet=rules.resample.output.t1_pet,
        mni_t1=rules.resample.output.mni_t1,
        mni_mask=rules.resample.output.mni_mask,
        mni_pet=rules.resample.output.mni_pet,
        motion=rules.convert_pet.output.motion,
        normalisation=rules.normalise.output.metrics,
        coregistration=rules.coregister.output.metrics,
        suvr_qc=rules.resample.output.suvr_qc,
    output:
        pictures=directory(f"{RESULTS}/derivatives/sub-{{sub}}/ses-{{ses}}/figures"),
        metrics=derivative("pet", "qc", ".json", desc="pair"),
    log:
        f"<logs>/qc/{PAIR}.log",
    benchmark:
        f"<benchmarks>/qc/{PAIR}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        inputs=lambda wildcards, input: flags(dict(input.items())),
        pair=PAIR,
    shell:
        "dualglow qc {params.inputs} --pair {params.pair} --pictures {output.pictures} --metrics {output.metrics} "
        "&> {log}"


rule qc_group:
    """The pages on which a person looks at all pairs, by their real names: who writes exclude.tsv needs them."""
    input:
        **QC_INPUTS,
    output:
        directory("<results>/qc"),
    log:
        "<logs>/qc_group.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        options=qc_options,
    shell:
        "dualglow qc-group --pairs {input.pairs} {params.options:q} --out {output} &> {log}"


rule qc_report:
    """The same pages for the report: under pseudonyms, unless the configuration says otherwise."""
    input:
        **QC_INPUTS,
        pseudonyms="<results>/cohort/pseudonyms.tsv" if PSEUDONYMS else [],
    output:
        report(
            directory("<results>/report/qc"),
            htmlindex="index.html",
            category="2 Preprocessing",
            caption="../report/qc.rst",
            labels={"preprocessing": "1 Quality control, a page per pair"},
        ),
    log:
        "<logs>/qc_report.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        options=qc_options,
    shell:
        "dualglow qc-group --pairs {input.pairs} {params.options:q} --shared --out {output} &> {log}"


rule pack:
    """All usable pairs on the model grid as one array, and why the others are not in it."""
    input:
        pairs="<results>/cohort/pairs.tsv",
        t1=for_every_pair("anat", "T1w", desc="brain", **MODEL_GRID),
        mask=for_every_pair("anat", "mask", desc="brain", **MODEL_GRID),
        pet=for_every_pair("pet", "pet", desc="suvr", **MODEL_GRID),
        suvr_qc=for_every_pair("pet", "qc", ".json", desc="suvr"),
        quality=for_every_pair("pet", "qc", ".json", desc="pair"),
        exclude=config["preprocess"]["exclude"] or [],
    output:
        volumes="<results>/dataset/volumes.npy",
        masks="<results>/dataset/masks.npy",
        pairs="<results>/dataset/pairs.tsv",
        grid="<results>/dataset/grid.json",
        exclusions=(
            "<results>/dataset/exclusions.tsv"  # a person's own words are in it
            if PSEUDONYMS
            else report(
                "<results>/dataset/exclusions.tsv",
                category="2 Preprocessing",
                caption="../report/left_out.rst",
                labels={"preprocessing": "2 Pairs left out (download)"},
            )
        ),
    log:
        "<logs>/pack.log",
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        derivatives=f"{RESULTS}/derivatives",
        out=subpath(output.volumes, parent=True),
        reference=REFERENCE,
        simulated="--simulated" if config["cohort"]["simulated"] else "",
        exclude=lambda wildcards, input: [
            f"--exclude={path}" for path in [input.exclude] if path
        ],
    shell:
        "dualglow pack --pairs {input.pairs} --derivatives {params.derivatives} --reference {params.reference:q} "
        "{params.simulated} {params.exclude:q} --out {params.out} &> {log}"


rule describe:
    """What BIDS wants to know of the derivatives: a JSON beside every image, the dataset's description, a README."""
    input:
        pairs="<results>/cohort/pairs.tsv",
        qc=for_every_pair("pet", "qc", ".json", desc="pair"),
    output:
        "<results>/derivatives/dataset_description.json",
    log:
        "<logs>/describe.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        derivatives=subpath(output[0], parent=True),
        root=config["cohort"]["root"],
        simulated="--simulated" if config["cohort"]["simulated"] else "",
    shell:
        "dualglow describe --pairs {input.pairs} --derivatives {params.derivatives} --root {params.root:q} "
        "{params.simulated} &> {log}"


rule batch:
    """Target: a share of the pairs, for cohorts of which one plan of all would take too long: batches/1-of-10 …"""
    input:
        for_every_pair_of_batch("pet", "qc", ".json", desc="pair"),
    output:
        touch("<results>/batches/{number}-of-{batches}"),
    log:
        "<logs>/batch/{number}-of-{batches}.log",
    wildcard_constraints:
        number=r"\d+",
        batches=r"\d+",
    localrule: True


rule preprocess:
    """Target: every pair in T1 space, MNI152 and on the model grid, with the pages of quality control."""
    input:
        rules.pack.output,
        rules.describe.output,
        rules.qc_group.output,
