"""The students: one job for each fold of each row."""


rule distill:
    input:
        data=f"{RUN}/data",
        teacher=teacher_of_fold,
    output:
        directory(f"{SEED}/{{method}}/fold-{{fold}}"),
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/distill-{fold}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/distill-{fold}.tsv"
    retries: 1
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=student_part,
        code=method_code("sfddm.training.distill"),
        state=lambda wildcards, output: state_folder(
            output[0], student_part(wildcards), method_code("sfddm.training.distill")(wildcards)
        ),
    shell:
        "sfddm distill params/{wildcards.experiment}.yaml --method {wildcards.method} --fold {wildcards.fold}"
        " --seed {wildcards.seed} --teacher {input.teacher} --data {input.data}"
        " --out {output} --state {params.state} --threads {threads} 2>&1 | tee -i {log}"
