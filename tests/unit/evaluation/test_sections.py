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
MEASURED = ("agreement", "audit", "freedom", "interpolation", "by-class", "memorisation")


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
        ({"nearest_neighbours": 5}, {"reference", "score", "audit", "freedom", "by-class", "memorisation"}),
        ({"reference_images": 100}, {"reference", "score", "audit", "freedom", "by-class", "memorisation"}),
        ({"blocks": 5}, {"reference", "score", "audit", "freedom", "by-class", "memorisation", "agreement"}),
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


def test_one_extractor_is_a_list_of_one() -> None:
    old, new = make_spec(extractor="efficientnet-lite0"), make_spec(extractors=["efficientnet-lite0"])
    assert old == new == make_spec()
    assert old.evaluation.extractor == stages.scoring(old).extractor == "efficientnet-lite0"
    with pytest.raises(SfddmError, match="evaluation: extractor: is called extractors now; give this one alone"):
        make_spec(extractor="efficientnet-lite0", extractors=["efficientnet-lite0"])
    with pytest.raises(SfddmError, match=r"evaluation\.extractors: names an extractor twice"):
        make_spec(extractors=["efficientnet-lite0", "efficientnet-lite0"])
    with pytest.raises(SfddmError, match=r"evaluation\.extractors: must be one of .*; got 'none'"):
        make_spec(extractors=["efficientnet-lite0", "none"])
    with pytest.raises(SfddmError, match=r"evaluation\.extractors: points: must be points for a source of points"):
        make_spec(extractors=["efficientnet-lite0", "points"])


def test_a_further_extractor_changes_nothing_of_the_others() -> None:
    one, two = make_spec(), make_spec(extractors=["efficientnet-lite0", "inception-v3-compat"])
    assert sections(one) == sections(two)
    assert of_score(one).modules == of_score(two).modules
    further = of_score(two, "inception-v3-compat")
    assert further.spec != of_score(two).spec
    assert further.given == {"extractor": "inception-v3-compat"}
    # As the main one of another spec, and with classes, whose figures are the main extractor's.
    assert further.spec == of_score(make_spec(extractors=["inception-v3-compat"])).spec
    plain = two.model_dump(mode="json")
    classes = parse_spec(plain | {"network": plain["network"] | {"classes": 10}}, "a test")
    assert of_score(classes, "inception-v3-compat").spec == further.spec
    assert of_score(classes).spec != of_score(two).spec
    with pytest.raises(SfddmError, match=r"evaluation\.extractors has no 'points'; it has efficientnet-lite0, incep"):
        of_reference(two, "points")


def test_weights_belong_to_the_first_extractor_or_to_the_one_they_are_stated_for() -> None:
    names = ["efficientnet-lite0", "inception-v3-compat"]

    def weights(stated: Any) -> list[str | None]:
        spec = make_spec(extractors=names, extractor_weights=stated)
        return [stages.scoring(spec, name).model_dump(mode="json")["extractor_weights"] for name in names]

    assert weights("a.pth") == ["a.pth", None]
    assert weights({"inception-v3-compat": "b.pth"}) == [None, "b.pth"]
    with pytest.raises(SfddmError, match="extractor_weights: names points, extractors efficientnet-lite0, incep"):
        weights({"points": "c"})


def test_degrees_of_freedom_are_measured_at_the_most_steps_only() -> None:
    plain = spec_of(measurements={"freedom": ["ddim"], "audit": ["ddim"]}).model_dump(mode="json")
    spec = parse_spec(plain | {"steps": [2, 8, 4]}, "a test")
    assert spec.measured_rows("freedom") == [("ddim", 8)]
    assert spec.measured_rows("audit") == [("ddim", 2), ("ddim", 8), ("ddim", 4)]
