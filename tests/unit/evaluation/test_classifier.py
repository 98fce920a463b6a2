"""The extractor that a run trains on its own labelled images, and the stage that trains it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.score_specs import make_spec

from sfddm.data.fetch import fetch
from sfddm.data.store import open_store, write_store
from sfddm.evaluation import classifier
from sfddm.evaluation.classifier import train_classifier
from sfddm.evaluation.compare import extraction_protocol
from sfddm.evaluation.sections import ClassifierTraining
from sfddm.extractors.base import extract_features
from sfddm.extractors.classifier import Classifier, make_network
from sfddm.extractors.spec import Extraction
from sfddm.records.verify import compare_figures
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.dependencies import of_classifier, of_score

CPU = torch.device("cpu")
STAGE = ClassifierTraining((1, 8, 8), has_test=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fetch(make_spec().data, folder)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "classifier"
    train_classifier(STAGE, data, out, CPU)
    return out


def extraction(folder: Path) -> Extraction:
    return Extraction(extractor="classifier", extractor_weights=folder)


@pytest.mark.slow
def test_it_knows_the_digits_that_were_held_out(data: Path, trained: Path) -> None:
    card = json.loads((trained / "classifier.json").read_text())
    assert card["accuracy"] > 0.95
    assert (card["held_out"], card["classes"]) == (180, 10)
    # One nearest class mean in its features tells the digits apart, better than one in the pixels does.
    store = open_store(data / "train")
    labels, pixels = np.array(store.labels), store.images.reshape(len(store.images), -1).astype(np.float64)
    features = extract_features(store.images, extraction(trained))
    assert features.shape == (1797, 128)

    def nearest_mean(x: np.ndarray) -> float:
        means = np.stack([x[labels == c].mean(axis=0) for c in range(10)])
        return float((np.linalg.norm(x[:, None] - means, axis=2).argmin(axis=1) == labels).mean())

    assert nearest_mean(features) > 0.98 > nearest_mean(pixels)


@pytest.mark.slow
def test_its_features_are_the_layer_before_the_last(trained: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    one = Classifier(extraction(trained), ("128",))
    whole = make_network((1, 8, 8), 10)
    from safetensors.torch import load_file

    whole.load_state_dict(load_file(trained / "weights.safetensors"))
    scores = whole.eval()(torch.from_numpy(images[:, None, :, :, 0] / 127.5 - 1).float()).detach()
    last = whole[-1]
    by_hand = torch.from_numpy(one.features(images)["128"]) @ last.weight.detach().T + last.bias.detach()
    assert torch.allclose(by_hand, scores, atol=1e-4)
    with pytest.raises(SfddmError, match=r"is for \(H, W, C\) \(8, 8, 1\), the images are \(4, 4, 3\)"):
        one.features(np.zeros((1, 4, 4, 3), np.uint8))


def test_the_same_images_give_the_same_weights(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "IMAGES", 640)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    written = []
    for name in ("one", "two"):
        torch.rand(1)  # whatever else was drawn
        train_classifier(STAGE, data, tmp_path / name, CPU)
        written.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert written[0] == written[1]
    card = json.loads((tmp_path / "one" / "classifier.json").read_text())
    assert card["images_seen"] == 640
    (tmp_path / "one" / "weights.safetensors").write_bytes(written[0][:-1] + b"x")
    with pytest.raises(SfddmError, match=r"its sha256 is .*, but classifier\.json says .*; train it again"):
        Classifier.find_weights(tmp_path / "one")


def test_the_test_split_is_held_out_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes, black and white; the test split has them the other way round, so that nothing of it is known."""
    monkeypatch.setattr(classifier, "IMAGES", 2000)
    for split, labels in (("train", (0, 1)), ("test", (1, 0))):
        examples = [(np.full((4, 4, 1), shade, np.uint8), label) for label, shade in zip(labels, (0, 255), strict=True)]
        write_store(tmp_path / split, "shades", {}, (4, 4, 1), iter(examples * 10), count=20)
    for has_test, accuracy in ((True, 0.0), (False, 1.0)):
        train_classifier(ClassifierTraining((1, 4, 4), has_test), tmp_path, tmp_path / f"out-{has_test}", CPU)
        assert json.loads((tmp_path / f"out-{has_test}" / "classifier.json").read_text())["accuracy"] == accuracy


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, -1], "1 of 3 images have no label; leave classifier out of evaluation.extractors"),
        ([0, 0, 0], "holds one class only; leave classifier out of evaluation.extractors"),
    ],
)
def test_images_without_classes_are_refused(labels: list[int], sentence: str, tmp_path: Path) -> None:
    examples = ((np.zeros((4, 4, 1), np.uint8), label) for label in labels)
    write_store(tmp_path / "train", "shades", {}, (4, 4, 1), examples, count=3)
    with pytest.raises(SfddmError, match=sentence):
        train_classifier(ClassifierTraining((1, 4, 4), False), tmp_path, tmp_path / "out", CPU)
    assert not (tmp_path / "out").exists()


def test_it_only_scores_and_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="classifier is trained in the run, and only scores: it cannot be the first"):
        make_spec(extractors=["classifier", "efficientnet-lite0"])
    with pytest.raises(SfddmError, match="needs --extractor-weights, the folder that `sfddm classifier` wrote"):
        Classifier(Extraction(extractor="classifier"), ("128",))
    with pytest.raises(SfddmError, match=r"classifier\.json: no such file; `sfddm classifier` writes it"):
        Classifier(extraction(tmp_path), ("128",))


def test_where_its_folder_lies_changes_no_digest() -> None:
    one, two = make_spec(), make_spec(extractors=["efficientnet-lite0", "classifier"])
    assert of_score(one).spec == of_score(two).spec
    assert of_classifier(one).spec == of_classifier(two).spec
    assert of_score(two, "classifier").section["extractor_weights"] is None
    assert "sfddm.extractors.classifier" in of_score(two, "classifier").modules


@pytest.mark.slow
def test_other_bits_of_a_training_on_the_same_images_are_told_and_not_judged(trained: Path) -> None:
    from support.results import part, row

    section = stages.scoring(make_spec(extractors=["efficientnet-lite0", "classifier"]), "classifier", trained)
    protocol = extraction_protocol(section)
    assert protocol["extractor_sha256"] == json.loads((trained / "classifier.json").read_text())["weights_sha256"]
    for change, state in (
        ({"extractor_sha256": "00", "extractor_accuracy": 0.9}, "same"),
        ({"extractor_trained_on": "00"}, "protocol"),
    ):
        sides = [part([row("ddim", 1.0, protocol=one)]) for one in (protocol, protocol | change)]
        assert [one.state for one in compare_figures(sides[:1], sides[1:])] == [state]
