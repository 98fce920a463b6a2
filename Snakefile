# From specs to the paper's table. The stages are in workflow/rules, one file each; docs/architecture.md has the data flow.


# Read only under --software-deployment-method apptainer. The image brings Python; the packages come from .venv,
# which this image's Python must have made.
container: "docker://python:3.13-slim"


wildcard_constraints:
    experiment=r"[a-z0-9][a-z0-9.-]*",
    method=r"[a-z0-9][a-z0-9.-]*",
    fold=r"[A-Za-z0-9.-]+",
    seed=r"\d+",
    steps=r"\d+",
    seeds=r"\d+",
    extractor=r"[a-z0-9][a-z0-9.-]*",


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"


check_params(Path("params.yaml"))


configfile: "params.yaml"


prepare_jobs()
EXPERIMENTS = chosen_experiments()


onstart:
    start_fork_server()


include: "workflow/rules/data.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/students.smk"
include: "workflow/rules/index_set.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"


rule table:
    default_target: True
    input:
        multiext("reports/table", ".html", ".md", ".tex"),
        "reports/metrics.json",
