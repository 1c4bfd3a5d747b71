# Scanner space to model grid: ANTs through nipype, one pair and one step a job.
SEED = config["seed"]
ENGINE = config["preprocess"]["engine"]
PRESET = config["preprocess"]["preset"]


rule convert_t1:
    """One 3D T1 in RAS+ orientation."""
    input:
        raw("t1_paths"),
    output:
        derivative("anat", "T1w", desc="converted"),
    log:
        f"<logs>/convert_t1/{PAIR}.log",
    benchmark:
        f"<benchmarks>/convert_t1/{PAIR}.tsv"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "dualglow convert {input:q} --modality t1 --out {output} &> {log}"


rule convert_pet:
    """One 3D PET in RAS+ orientation: frames are averaged."""
    input:
        raw("pet_paths"),
    output:
        derivative("pet", "pet", desc="mean"),
    log:
        f"<logs>/convert_pet/{PAIR}.log",
    benchmark:
        f"<benchmarks>/convert_pet/{PAIR}.tsv"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "dualglow convert {input:q} --modality pet --out {output} &> {log}"


rule normalise:
    """T1 to MNI152: affine, bias field, SyN."""
    input:
        t1=rules.convert_t1.output,
    output:
        biascorrected=derivative("anat", "T1w", desc="biascorrected"),
        affine=derivative("anat", "xfm", ".mat", from_="T1w", to="MNI152", desc="affine"),
        warp=derivative("anat", "xfm", from_="T1w", to="MNI152", desc="warp"),
        inverse_warp=derivative("anat", "xfm", from_="MNI152", to="T1w", desc="warp"),
    log:
        f"<logs>/normalise/{PAIR}.log",
    benchmark:
        f"<benchmarks>/normalise/{PAIR}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "dualglow normalise --t1 {input.t1} --biascorrected {output.biascorrected} --affine {output.affine} "
        "--warp {output.warp} --inverse-warp {output.inverse_warp} --preset {PRESET} --engine {ENGINE} --seed {SEED} &> {log}"
