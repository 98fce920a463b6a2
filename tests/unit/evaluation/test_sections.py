"""What the stages of the evaluation depend on: their own fields of the spec, and code that knows no spec."""

from __future__ import annotations

from typing import Any

import pytest
from support.score_specs import make_spec

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.provenance import closure
from sfddm.spec import stages
from sfddm.spec.dependencies import of_measurement, of_reference, of_score
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec

METHODS = {"teacher": {"reference_steps": 8}, "ddim": {}}
MEASURED = ("agreement", "audit", "freedom", "interpolation", "by-class")


def spec_of(methods: dict[str, Any] = METHODS, **evaluation: Any) -> Spec:
    plain = make_spec().model_dump(mode="json")
    return parse_spec(plain | {"methods": methods, "evaluation": plain["evaluation"] | evaluation}, "a test")


def sections(spec: Spec) -> dict[str, str]:
    """The digest of each stage's section."""
    found = {name: of_measurement(spec, name, "ddim", 4).spec for name in MEASURED}
    return found | {"reference": of_reference(spec).spec, "score": of_score(spec).spec}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"methods": METHODS | {"ddim": {"title": "Another title"}}}, set()),
        ({"methods": METHODS | {"sfddm": {}}}, set()),
        ({"agreement": ["ddim"], "measurements": {"audit": ["ddim"]}}, set()),
        ({"metrics": ["kid"]}, {"reference", "score"}),
        ({"nearest_neighbours": 5}, {"reference", "score", "audit", "freedom", "by-class"}),
        ({"reference_images": 100}, {"reference", "score", "audit", "freedom", "by-class"}),
        ({"blocks": 5}, {"reference", "score", "audit", "freedom", "by-class", "agreement"}),
        ({"extractor_resolution": 64}, {"reference", "score", *MEASURED}),
        ({"methods": METHODS | {"ddim": {"clip": False}}}, {"freedom", "interpolation"}),
        ({"methods": METHODS | {"teacher": {"reference_steps": 16}}}, {"interpolation"}),
    ],
)
def test_a_stage_is_done_again_only_where_its_figures_change(change: dict[str, Any], changed: set[str]) -> None:
    before, after = sections(spec_of()), sections(spec_of(**change))
    assert {name for name in before if before[name] != after[name]} == changed


def test_no_stage_of_the_evaluation_runs_code_of_specs_or_methods() -> None:
    spec = spec_of()
    needs = [of_reference(spec), of_score(spec), *(of_measurement(spec, name, "ddim", 4) for name in MEASURED)]
    for modules in (one.modules for one in needs):
        found = closure(*modules)
        assert f"sfddm.evaluation.{modules[0].split('.')[2]}" in found
        assert not [name for name in found if name.startswith(("sfddm.spec", "sfddm.methods", "sfddm.report"))]


def test_an_old_spec_with_neighbourhood_means_the_same() -> None:
    old, new = make_spec(neighbourhood=5), make_spec(nearest_neighbours=5)
    assert old == new
    assert stages.scoring(old).nearest_neighbours == 5
    with pytest.raises(SfddmError, match="evaluation: neighbourhood: is called nearest_neighbours now"):
        make_spec(neighbourhood=5, nearest_neighbours=5)


def test_lists_and_measurements_are_one() -> None:
    spec = spec_of(agreement=["ddim"], measurements={"agreement": ["ddim", "teacher"], "audit": ["ddim"]})
    assert spec.evaluation.measured == {"agreement": ("ddim", "teacher"), "audit": ("ddim",)}
    assert spec.measured_rows("agreement") == [("ddim", 4)]
    assert spec.measured_rows("interpolation") == []


def test_degrees_of_freedom_are_measured_at_the_most_steps_only() -> None:
    plain = spec_of(measurements={"freedom": ["ddim"], "audit": ["ddim"]}).model_dump(mode="json")
    spec = parse_spec(plain | {"steps": [2, 8, 4]}, "a test")
    assert spec.measured_rows("freedom") == [("ddim", 8)]
    assert spec.measured_rows("audit") == [("ddim", 2), ("ddim", 8), ("ddim", 4)]
