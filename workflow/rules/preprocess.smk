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
