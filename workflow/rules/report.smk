"""From figures to the table."""


rule collect:
    input:
        unpack(collected_files),
    output:
        metrics=f"{RUN}/collected/metrics.json",
        samples=f"{RUN}/collected/samples.npz",
    log:
        "reports/logs/{experiment}/collect.log",
    benchmark:
        "reports/benchmarks/{experiment}/collect.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
    params:
        spec=whole_spec,
        code=code_of("sfddm.report.collect"),
        runs=RUN,
        out=subpath(output.metrics, parent=True),
    shell:
        "sfddm collect params/{wildcards.experiment}.yaml --runs {params.runs} --out {params.out} 2>&1 | tee -i {log}"


checkpoint further_seed:
    input:
        unpack(collected_files),
        claims=claims_files(),
    output:
        f"{RUN}/seeds/after-{{seeds}}.json",
    log:
        "reports/logs/{experiment}/further-seed-{seeds}.log",
    benchmark:
        "reports/benchmarks/{experiment}/further-seed-{seeds}.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
    params:
        spec=whole_spec,
        code=code_of(
            "sfddm.report.further_seed",
            files=(ROOT / "claims" / "between_trainings.json",),
        ),
        runs=RUN,
    shell:
        "sfddm further-seed params/{wildcards.experiment}.yaml --runs {params.runs} --seeds {wildcards.seeds}"
        " --out {output} 2>&1 | tee -i {log}"


rule properties:
    input:
        tests=property_files(),
        # Waits for the images so that it does not hold one of the two cores that the only teacher asks for.
        data=ancient(expand(f"{RUN}/data", experiment=EXPERIMENTS[:1])),
    output:
        "reports/properties.json",
    log:
        "reports/logs/properties.log",
    benchmark:
        "reports/benchmarks/properties.tsv"
    # The figures' jobs go first: nothing but the report waits for this one.
    priority: -1
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
    params:
        nodes=property_nodes(),
        code=package_digest(),
    shell:
        "sfddm properties --out {output} 2>&1 | tee -i {log}"


rule report:
    input:
        metrics=expand(f"{RUN}/collected/metrics.json", experiment=EXPERIMENTS),
        samples=expand(f"{RUN}/collected/samples.npz", experiment=EXPERIMENTS),
        claims=claims_files(),
        properties=rules.properties.output,
    output:
        html="reports/table.html",
        markdown="reports/table.md",
        latex="reports/table.tex",
        metrics="reports/metrics.json",
        blind="reports/blind.html",
    log:
        "reports/logs/report.log",
    benchmark:
        "reports/benchmarks/report.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
    params:
        collected=expand(f"{RUN}/collected", experiment=EXPERIMENTS),
        code=code_of("sfddm.report.render", files=tuple(report_files())),
        out=subpath(output.html, parent=True),
    shell:
        "sfddm report {params.collected} --properties {input.properties} --out {params.out} 2>&1 | tee -i {log}"
