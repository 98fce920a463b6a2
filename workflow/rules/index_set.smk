"""Index sets that are found on the teacher's own path, for rows that train nothing."""


rule index_set:
    input:
        model=f"{SEED}/teacher/model",
    output:
        f"{SEED}/{{method}}/steps-{{steps}}/index_set.json",
    log:
        "reports/logs/{experiment}/seed-{seed}/{method}/index-set-{steps}.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/{method}/index-set-{steps}.tsv"
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(INDEX_SETS),
        code=code(INDEX_SETS),
    shell:
        "sfddm index-set params/{wildcards.experiment}.yaml --method {wildcards.method} --steps {wildcards.steps}"
        " --model {input.model} --out {output} --threads {threads} 2>&1 | tee -i {log}"
