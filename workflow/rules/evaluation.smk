"""From a model to figures: the reference features, the images of a row, their score."""


rule classifier:
    input:
        data=f"{RUN}/data",
    output:
        directory(f"{RUN}/classifier"),
    log:
        "reports/logs/{experiment}/classifier.log",
    benchmark:
        "reports/benchmarks/{experiment}/classifier.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(CLASSIFIERS),
        code=code(CLASSIFIERS),
    shell:
        "sfddm classifier params/{wildcards.experiment}.yaml --data {input.data} --out {output}"
        " --threads {threads} 2>&1 | tee -i {log}"


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
        spec=section(REFERENCE),
        code=code(REFERENCE),
        out=subpath(output.score, parent=True),
        extractor="",
    shell:
        "sfddm reference params/{wildcards.experiment}.yaml --data {input.data} --out {params.out} {params.extractor}"
        " --threads {threads} 2>&1 | tee -i {log}"


use rule reference as further_reference with:
    input:
        data=f"{RUN}/data",
        weights=trained_extractor,
    output:
        features=f"{RUN}/reference/{{extractor}}/features.npz",
        score=f"{RUN}/reference/{{extractor}}/score.json",
    log:
        "reports/logs/{experiment}/reference-{extractor}.log",
    benchmark:
        "reports/benchmarks/{experiment}/reference-{extractor}.tsv"
    params:
        spec=section(FURTHER_REFERENCE),
        code=code(FURTHER_REFERENCE),
        out=subpath(output.score, parent=True),
        extractor=extractor_options,


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
        state=state_folder(SAMPLES),
        models=lambda wildcards, input: option("--model", input.models),
        index_set=lambda wildcards, input: option("--index-set", input.index_set),
    shell:
        "sfddm sample params/{wildcards.experiment}.yaml --method {wildcards.method} --steps {wildcards.steps}"
        " {params.models} {params.index_set} --out {output.images} --state {params.state} --threads {threads}"
        " 2>&1 | tee -i {log}"


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
        extractor="",
    shell:
        "sfddm evaluate params/{wildcards.experiment}.yaml --samples {input.images} --reference {params.reference}"
        " --out {output} {params.extractor} --threads {threads} 2>&1 | tee -i {log}"


use rule evaluate as further_evaluate with:
    input:
        images=rules.sample.output.images,
        labels=rules.sample.output.labels,
        features=rules.further_reference.output.features,
        weights=trained_extractor,
    output:
        f"{SEED}/{{method}}/steps-{{steps}}/score-{{extractor}}.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/evaluate-{extractor}-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/evaluate-{extractor}-{steps}.tsv"
    params:
        spec=section(FURTHER_SCORES),
        code=code(FURTHER_SCORES),
        reference=subpath(input.features, parent=True),
        extractor=extractor_options,


rule measure:
    input:
        unpack(measurement_inputs),
    output:
        figures=f"{SEED}/{{method}}/steps-{{steps}}/{{measurement}}.json",
        arrays=f"{SEED}/{{method}}/steps-{{steps}}/{{measurement}}.npz",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/{measurement}-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/{measurement}-{steps}.tsv"
    wildcard_constraints:
        measurement="|".join(entries("sfddm.evaluation.measurements", Measurement)),
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(MEASUREMENTS),
        code=code(MEASUREMENTS),
        inputs=measurement_options,
    shell:
        "sfddm measure params/{wildcards.experiment}.yaml --measurement {wildcards.measurement}"
        " --method {wildcards.method} --steps {wildcards.steps} {params.inputs} --out {output.figures}"
        " --threads {threads} 2>&1 | tee -i {log}"
