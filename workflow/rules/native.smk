# Synthetic PETs in the space of the person's own T1, for those who work there.
NATIVE = "<results>/native/{method}/fold-{fold}"


rule to_native:
    """One map of a synthetic PET from the model grid to the T1's voxels, in one interpolation."""
    input:
        synthesis=rules.synthesise.output,
        t1=rules.convert_t1.output,
        affine=rules.normalise.output.affine,
        inverse_warp=rules.normalise.output.inverse_warp,
    output:
        f"{NATIVE}/{PAIR}_space-T1w_desc-{{map}}_pet.nii.gz",
    log:
        f"<logs>/to_native/{{method}}_fold-{{fold}}/{PAIR}_{{map}}.log",
    wildcard_constraints:
        map="[A-Za-z0-9]+",
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        image=lambda wildcards, input: f"{input.synthesis}/sub-{wildcards.sub}_ses-{wildcards.ses}_desc-{wildcards.map}_pet.nii.gz",
        engine=ENGINE,
    shell:
        "dualglow native {params.image} --like {input.t1} --affine {input.affine} "
        "--inverse-warp {input.inverse_warp} --out {output} --engine {params.engine} &> {log}"


rule native:
    """Target: every held-out synthetic PET, with its standard deviation, in the person's T1 space."""
    input:
        of_every_fold(SYNTHESIS),
        native_files,
