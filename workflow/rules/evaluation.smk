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
        spec=section(SCORES),
        code=code(depends("scores", module="sfddm.evaluation.reference")),
        out=subpath(output.score, parent=True),
    shell:
        "sfddm reference params/{wildcards.experiment}.yaml --data {input.data} --out {params.out}"
        " --threads {threads} 2>&1 | tee -i {log}"


rule sample:
    input:
        models=sampled_models,
        index_set=found_index_set,
    output:
        images=f"{SEED}/{{method}}/steps-{{steps}}/samples.npy",
        labels=f"{SEED}/{{method}}/steps-{{steps}}/labels.npy",
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
        spec=section(SAMPLES),
        code=code(SAMPLES),
        models=lambda wildcards, input: option("--model", input.models),
        index_set=lambda wildcards, input: option("--index-set", input.index_set),
    shell:
        "sfddm sample params/{wildcards.experiment}.yaml --method {wildcards.method} --steps {wildcards.steps}"
        " {params.models} {params.index_set} --out {output.images} --threads {threads} 2>&1 | tee -i {log}"


rule evaluate:
    input:
        images=rules.sample.output.images,
        labels=rules.sample.output.labels,
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
        spec=section(SCORES),
        code=code(SCORES),
        reference=subpath(input.features, parent=True),
    shell:
        "sfddm evaluate params/{wildcards.experiment}.yaml --samples {input.images} --reference {params.reference}"
        " --out {output} --threads {threads} 2>&1 | tee -i {log}"


rule agree:
    input:
        images=rules.sample.output.images,
        teacher=teacher_images,
    output:
        f"{SEED}/{{method}}/steps-{{steps}}/agreement.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/agree-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/agree-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(SCORES),
        code=code(depends("scores", module="sfddm.evaluation.agreement")),
    shell:
        "sfddm agree params/{wildcards.experiment}.yaml --samples {input.images} --teacher-samples {input.teacher}"
        " --out {output} --threads {threads} 2>&1 | tee -i {log}"


rule audit:
    input:
        images=rules.sample.output.images,
        features=rules.reference.output.features,
        data=f"{RUN}/data",
    output:
        f"{SEED}/{{method}}/steps-{{steps}}/audit.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/audit-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/audit-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(SCORES),
        code=code(depends("scores", module="sfddm.evaluation.audit")),
        reference=subpath(input.features, parent=True),
    shell:
        "sfddm audit params/{wildcards.experiment}.yaml --samples {input.images} --reference {params.reference}"
        " --data {input.data} --out {output} --threads {threads} 2>&1 | tee -i {log}"


rule interpolate:
    input:
        models=sampled_models,
        teacher=f"{SEED}/teacher/model",
        features=rules.reference.output.features,
    output:
        figures=f"{SEED}/{{method}}/steps-{{steps}}/interpolation/interpolation.json",
        strips=f"{SEED}/{{method}}/steps-{{steps}}/interpolation/strips.npz",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/interpolate-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/interpolate-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(SAMPLES),
        protocol=section(SCORES),
        code=code(depends("scores", module="sfddm.evaluation.interpolation")),
        models=lambda wildcards, input: option("--model", input.models),
        reference=subpath(input.features, parent=True),
        out=subpath(output.figures, parent=True),
    shell:
        "sfddm interpolate params/{wildcards.experiment}.yaml --method {wildcards.method} --steps {wildcards.steps}"
        " {params.models} --teacher {input.teacher} --reference {params.reference} --out {params.out}"
        " --threads {threads} 2>&1 | tee -i {log}"
