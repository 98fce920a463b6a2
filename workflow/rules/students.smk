"""The students: one job for each fold of each row."""


rule distill:
    input:
        data=f"{RUN}/data",
        teacher=teacher_of_fold,
        start=start_of_fold,
        pairs=pairs_of_fold,
        partition=partition_of_fold,
        classifier=classifier_of_fold,
    output:
        directory(f"{SEED}/{{method}}/fold-{{fold}}"),
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/distill-{fold}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/distill-{fold}.tsv"
    priority: 1  # samples, and other folds, wait for it
    retries: 1
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(STUDENTS),
        code=code(STUDENTS),
        start=lambda wildcards, input: option("--start", input.start),
        pairs=lambda wildcards, input: option("--pairs", input.pairs),
        partition=lambda wildcards, input: option("--partition", input.partition),
        classifier=lambda wildcards, input: option("--classifier", input.classifier),
        state=state_folder(STUDENTS),
    shell:
        "sfddm distill params/{wildcards.experiment}.yaml --method {wildcards.method} --fold {wildcards.fold}"
        " --seed {wildcards.seed} --teacher {input.teacher} {params.start} {params.pairs} {params.partition}"
        " {params.classifier} --data {input.data}"
        " --out {output} --state {params.state} --threads {threads} 2>&1 | tee -i {log}"


rule partition:
    input:
        data=f"{RUN}/data",
    output:
        f"{RUN}/partitions/{{method}}.json",
    log:
        "reports/logs/{experiment}/partition-{method}.log",
    benchmark:
        "reports/benchmarks/{experiment}/partition-{method}.tsv"
    priority: 1
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        spec=section(PARTITIONS),
        code=code(PARTITIONS),
    shell:
        "sfddm partition params/{wildcards.experiment}.yaml --method {wildcards.method} --data {input.data}"
        " --out {output} 2>&1 | tee -i {log}"
