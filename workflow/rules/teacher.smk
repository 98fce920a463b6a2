"""The experiment's own teacher, one for each seed."""


rule train:
    input:
        data=f"{RUN}/data",
    output:
        directory(f"{SEED}/teacher/model"),
    log:
        "reports/logs/{experiment}/seed-{seed}/train.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/train.tsv"
    priority: 2  # all else waits for it
    retries: 1
    # Seeds side by side on one thread each are faster than one after the other on two.
    threads: teacher_threads
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(TEACHERS),
        code=code(TEACHERS),
        state=state_folder(TEACHERS),
    shell:
        "sfddm train params/{wildcards.experiment}.yaml --seed {wildcards.seed} --data {input.data}"
        " --out {output} --state {params.state} --threads {threads} 2>&1 | tee -i {log}"


rule pairs:
    input:
        model=f"{SEED}/teacher/model",
    output:
        directory(f"{SEED}/teacher/pairs"),
    log:
        "reports/logs/{experiment}/seed-{seed}/pairs.log",
    benchmark:
        "reports/benchmarks/{experiment}/seed-{seed}/pairs.tsv"
    priority: 1
    threads: 1
    resources:
        gpu=accelerators(),
        mem_mb=2000,
    params:
        spec=section(PAIRS),
        code=code(PAIRS),
        state=state_folder(PAIRS),
    shell:
        "sfddm pairs params/{wildcards.experiment}.yaml --seed {wildcards.seed} --model {input.model}"
        " --out {output} --state {params.state} --threads {threads} 2>&1 | tee -i {log}"
