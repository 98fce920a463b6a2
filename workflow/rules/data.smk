"""The images, in a store."""


rule fetch:
    output:
        directory(f"{RUN}/data"),
    log:
        "reports/logs/{experiment}/fetch.log",
    benchmark:
        "reports/benchmarks/{experiment}/fetch.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        spec=section(DATA),
        code=code(DATA),
    shell:
        "sfddm fetch params/{wildcards.experiment}.yaml --out {output} 2>&1 | tee -i {log}"
