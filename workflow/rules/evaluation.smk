"""From a model to figures: the reference features, the images of a row, their score."""


rule reference:
    input:
        data=f"{RUN}/data",
    output:
        features=f"{RUN}/reference/features.npz",
        score=f"{RUN}/reference/score.json",
    log:
        "reports/logs/{experiment}/reference.log",
    benchmark:
        "reports/benchmarks/{experiment}/reference.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=evaluation_part,
        code=code_of("sfddm.evaluation.reference"),
        out=subpath(output.score, parent=True),
    shell:
        "sfddm reference params/{wildcards.experiment}.yaml --data {input.data} --out {params.out}"
        " --threads {threads} 2>&1 | tee -i {log}"


rule sample:
    input:
        model=sampled_model,
    output:
        images=f"{SEED}/{{method}}/steps-{{steps}}/samples.npy",
        cost=f"{SEED}/{{method}}/steps-{{steps}}/samples.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/sample-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/sample-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=sampling_part,
        code=method_code("sfddm.sampling"),
    shell:
        "sfddm sample params/{wildcards.experiment}.yaml --method {wildcards.method} --steps {wildcards.steps}"
        " --model {input.model} --out {output.images} --threads {threads} 2>&1 | tee -i {log}"


rule evaluate:
    input:
        images=rules.sample.output.images,
        features=rules.reference.output.features,
    output:
        f"{SEED}/{{method}}/steps-{{steps}}/score.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/evaluate-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/evaluate-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=evaluation_part,
        code=code_of("sfddm.evaluation.score"),
        reference=subpath(input.features, parent=True),
    shell:
        "sfddm evaluate params/{wildcards.experiment}.yaml --samples {input.images} --reference {params.reference}"
        " --out {output} --threads {threads} 2>&1 | tee -i {log}"
