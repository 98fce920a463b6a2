"""Sources, and the way of an image from its source to its store."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.tiny_data import (
    LABELS,
    idx_bytes,
    pictures,
    png,
    section,
    serving,
    sha256,
    write_cifar,
    write_idx,
    write_lmdb,
    write_parquet,
)

from sfddm.data.decode import decode_image
from sfddm.data.examples import Example, Examples
from sfddm.data.fetch import fetch
from sfddm.data.store import Store, open_store
from sfddm.data.transform import fit, prepare
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.provenance import closure
from sfddm.runtime.registry import PLUGINS
from sfddm.spec.load import load_spec, parse_spec
from sfddm.spec.schema import json_schema

SMOKE = Path(__file__).parents[3] / "params" / "smoke.yaml"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def fetched(data: Any, out: Path) -> Store:
    fetch(data, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(data.splits)
    return open_store(out / data.splits[0])


# From images as they are to images as they are stored


@given(
    height=st.integers(2, 40), width=st.integers(2, 40), size=st.integers(2, 20),
    grey=st.booleans(), channels=st.sampled_from([1, 3]),
)  # fmt: skip
def test_prepared_images_have_the_shape_asked_for(
    height: int, width: int, size: int, grey: bool, channels: int
) -> None:
    image = pictures(*((height, width) if grey else (height, width, 3)))
    shape = (size, size, channels)
    ((prepared, label),) = prepare([Example(lambda: image, 7, "here")], shape, None)
    assert (prepared.shape, prepared.dtype, label) == (shape, np.uint8, 7)


def test_center_crop_takes_the_middle() -> None:
    image = pictures(7, 10)
    np.testing.assert_array_equal(fit(image, 4, (4, 4, 1))[:, :, 0], image[1:5, 3:7])
    ((whole, _),) = prepare([Example(lambda: image, 0, "here")], (7, 7, 1), None)
    np.testing.assert_array_equal(whole[:, :, 0], image[:, 1:8])


def test_resizing_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    small = fit(stripes, 64, (8, 8, 1))
    assert np.abs(small[:, 1:-1].astype(int) - 127).max() <= 6  # taking single pixels would give 0 or 255


def test_grey_becomes_rgb_by_repetition_and_back_by_luma() -> None:
    image = pictures(4, 4)
    colours = fit(image, 4, (4, 4, 3))
    assert (colours == image[:, :, None]).all()
    np.testing.assert_array_equal(fit(colours, 4, (4, 4, 1))[:, :, 0], image)
    red = np.zeros((1, 1, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert fit(red, 1, (1, 1, 1)).item() == 76


def test_center_crop_makes_mixed_sizes_equal() -> None:
    examples = [Example(lambda n=n: pictures(n, n + 1), 0, "here") for n in (9, 12, 30)]
    assert [image.shape for image, _ in prepare(examples, (4, 4, 1), 8)] == [(4, 4, 1)] * 3


@given(count=st.integers(1, 60), limit=st.integers(1, 80))
def test_a_limit_keeps_examples_spread_over_all(count: int, limit: int) -> None:
    kept = Examples(iter(range(count)), count).limited(limit)  # type: ignore[arg-type]
    numbers = list(kept.items)
    assert len(numbers) == kept.count == min(count, limit)
    gaps = np.diff([*numbers, count])  # type: ignore[list-item]
    assert numbers[0] == 0
    assert gaps.max() - gaps.min() <= 1


def test_decoding_applies_orientation_and_lays_transparency_on_white() -> None:
    image = pictures(4, 6, 3)
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stands turned by 90 degrees
    Image.fromarray(image).save(stream, "png", exif=exif)
    np.testing.assert_array_equal(decode_image(stream.getvalue(), "here"), np.rot90(image, -1))
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (decode_image(png(clear), "here") == 255).all()
    assert decode_image(png(pictures(3, 5)), "here").shape == (3, 5)


# Sources


HEAVY = ("sklearn", "pyarrow", "lmdb", "PIL", "torch", "requests", "pooch", "huggingface_hub", "scipy", "rich")


def test_reading_a_section_imports_nothing_heavy() -> None:
    code = f"""
import sys
from sfddm.data.spec import Source
from sfddm.runtime.registry import entries
assert len(entries("sfddm.data.sources", Source)) >= 8
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"source": "nowhere"}, "data.source: must be one of cifar10, .*, sklearn-digits; got 'nowhere'"),
        ({"source": ["idx"]}, r"data.source: must be one of .*; got \['idx'\]"),
        ({"label": "x"}, "data.source: must be one of cifar10, .*; got none"),
        (3, "data: input should be a valid dictionary"),
        ({"source": "idx", "folder": "x"}, "data.label: this key is missing; .*data.folder: unknown key"),
    ],
)
def test_an_unknown_source_and_an_unknown_key_are_named(value: Any, sentence: str) -> None:
    with pytest.raises(SfddmError, match=f"^spec.yaml: {sentence}") as caught:
        parse_spec(yaml.safe_load(SMOKE.read_text()) | {"data": value}, "spec.yaml")
    assert "\n" not in str(caught.value)


PLUG_IN = """
import numpy as np

from sfddm.data.examples import Example, Examples
from sfddm.data.spec import ImageSource


class Ramps(ImageSource):
    name = "ramps"

    images: int = 3

    def read_split(self, split):
        picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
        items = (Example(lambda row=row: picture + np.uint8(row), row % 2, f"ramp {row}") for row in range(self.images))
        return Examples(items, self.images, ("even", "odd"))
"""


def test_one_file_adds_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ramps.py"
    file.write_text(PLUG_IN)
    spec = yaml.safe_load(SMOKE.read_text())
    spec["data"] = {"source": "ramps", "label": "Ramps", "image_size": 8, "channels": 1, "images": 5}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    environment = os.environ | {PLUGINS: str(file)}
    command = [sys.executable, "-m", "sfddm.cli", "fetch", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    store = open_store(tmp_path / "out" / "train")
    np.testing.assert_array_equal(store.images[4, :, :, 0], np.arange(4, 68).reshape(8, 8))
    np.testing.assert_array_equal(store.labels, [0, 1, 0, 1, 0])
    assert store.manifest["source"]["images"] == 5
    with pytest.raises(SfddmError, match=r"data\.source: must be one of .*; got 'ramps'"):
        load_spec(tmp_path / "spec.yaml")
    monkeypatch.setenv(PLUGINS, str(file))
    module = type(load_spec(tmp_path / "spec.yaml").data).__module__
    assert module in closure("sfddm.data.fetch", module)
    choices = json_schema()["properties"]["data"]["oneOf"]
    assert {"const": "ramps"} in [choice["properties"]["source"] for choice in choices]


def test_the_code_that_fetches_covers_one_source() -> None:
    covered = closure("sfddm.data.fetch", type(section("sklearn-digits")).__module__)
    assert [name for name in covered if "sources." in name] == ["sfddm.data.sources.sklearn_digits"]
    assert not [name for name in covered if name.split(".")[1:2] in (["spec"], ["methods"], ["training"])]


def test_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    store = fetched(section("sklearn-digits"), tmp_path / "out")
    expected = load_digits()
    np.testing.assert_array_equal(store.images[:, :, :, 0], np.round(expected.images * 255 / 16))
    np.testing.assert_array_equal(store.labels, expected.target)
    assert store.manifest["class_names"] == list("0123456789")


def test_fetching_digits_imports_neither_scikit_learn_nor_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sfddm.cli import app\n"
        f"app(['fetch', {str(SMOKE)!r}, '--out', {str(tmp_path / 'data')!r}], standalone_mode=False)\n"
        "print([name for name in ('sklearn', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("gz", [True, False])
def test_idx_both_splits(tmp_path: Path, gz: bool) -> None:
    train, test = pictures(5, 8, 8), pictures(5, 8, 8, seed=1)
    write_idx(tmp_path / "idx", train, LABELS, gz=gz)
    write_idx(tmp_path / "idx", test, LABELS[::-1], prefix="t10k", gz=gz)
    data = section("idx", folders=[tmp_path / "absent", tmp_path / "idx"], splits=["train", "test"])
    np.testing.assert_array_equal(fetched(data, tmp_path / "out").images[:, :, :, 0], train)
    np.testing.assert_array_equal(open_store(tmp_path / "out" / "test").images[:, :, :, 0], test)
    np.testing.assert_array_equal(open_store(tmp_path / "out" / "test").labels, LABELS[::-1])


def test_idx_is_downloaded_where_no_folder_has_it(tmp_path: Path) -> None:
    files = {
        "train-images-idx3-ubyte.gz": idx_bytes(pictures(5, 8, 8)),
        "train-labels-idx1-ubyte.gz": idx_bytes(np.array(LABELS, np.uint8)),
    }
    with serving({f"/{name}": content for name, content in files.items()}) as server:
        downloads = {
            name: {"url": f"{server.url}/{name}", "sha256": sha256(content)} for name, content in files.items()
        }
        data = section("idx", folders=[tmp_path / "absent"], downloads=downloads)
        np.testing.assert_array_equal(fetched(data, tmp_path / "out").labels, LABELS)
        fetched(data, tmp_path / "out")
    assert len(server.ranges) == 2  # the second time both came from the cache


@pytest.mark.parametrize("struct_cells", [True, False])
def test_parquet_over_several_files(tmp_path: Path, struct_cells: bool) -> None:
    images = pictures(5, 8, 8, 3)
    first = write_parquet(tmp_path / "z.parquet", [png(i) for i in images[:3]], [3, 1, None], struct_cells)
    second = write_parquet(tmp_path / "a.parquet", [png(i) for i in images[3:]], [1, 5], struct_cells)
    digests = {"train": [sha256(path.read_bytes()) for path in (first, second)]}
    data = section("parquet", files={"train": [first, second]}, sha256=digests, channels=3)
    store = fetched(data, tmp_path / "out")
    np.testing.assert_array_equal(store.images, images)
    np.testing.assert_array_equal(store.labels, [3, 1, -1, 1, 5])


def test_parquet_limit_and_class_names(tmp_path: Path) -> None:
    images = pictures(4, 8, 8)
    path = write_parquet(tmp_path / "a.parquet", [png(i) for i in images], [0, 0, 1, 1])
    data = section("parquet", files={"train": [path]}, limit=2, class_names=["cat", "dog"])
    store = fetched(data, tmp_path / "out")
    np.testing.assert_array_equal(store.images[:, :, :, 0], images[[0, 2]])
    np.testing.assert_array_equal(store.labels, [0, 1])
    assert store.manifest["class_names"] == ["cat", "dog"]


def test_imagefolder_is_sorted_and_named_by_class(tmp_path: Path) -> None:
    images = pictures(5, 8, 8)
    names = ["dog/2.png", "dog/10.png", "cat/deep/1.PNG", "Emu/1.png", "loose.png"]
    for name, image in zip(names, images, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png(image))
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "in" / ".hidden.png").touch()
    store = fetched(section("imagefolder", folders={"train": tmp_path / "in"}), tmp_path / "out")
    np.testing.assert_array_equal(store.images[:, :, :, 0], images[[3, 2, 1, 0, 4]])
    np.testing.assert_array_equal(store.labels, [0, 1, 2, 2, -1])
    assert store.manifest["class_names"] == ["Emu", "cat", "dog"]


def test_cifar10_in_the_order_of_its_batches(tmp_path: Path) -> None:
    images, labels = pictures(6, 32, 32, 3), [9, 0, 1, 2, 3, 8]
    archive = write_cifar(tmp_path / "cifar-10-binary.tar.gz", images, labels)
    data = section("cifar10", archive=archive, image_size=32, channels=3, splits=["train", "test"])
    store = fetched(data, tmp_path / "out")
    np.testing.assert_array_equal(store.images, images[:5])
    np.testing.assert_array_equal(store.labels, labels[:5])
    np.testing.assert_array_equal(open_store(tmp_path / "out" / "test").images, images[5:])
    assert store.manifest["class_names"][9] == "truck"


def test_cifar10_is_downloaded_where_there_is_no_archive(tmp_path: Path) -> None:
    content = write_cifar(tmp_path / "x", pictures(6, 32, 32, 3), [0] * 6).read_bytes()
    with serving({"/cifar-10-binary.tar.gz": content}) as server:
        download = {"url": f"{server.url}/cifar-10-binary.tar.gz", "sha256": sha256(content)}
        data = section("cifar10", archive=tmp_path / "absent", download=download, image_size=32, channels=3)
        assert len(fetched(data, tmp_path / "out").images) == 5


def test_lsun_in_key_order_and_its_fraction(tmp_path: Path) -> None:
    images = pictures(5, 9, 11, 3)
    keys = [b"e", b"b", b"a", b"d", b"c"]
    values = {key: png(image) for key, image in zip(keys, images, strict=True)}
    folders = {"train": write_lmdb(tmp_path / "lmdb", values), "test": tmp_path / "lmdb"}
    data = section("lsun-lmdb", folders=folders, center_crop=8, channels=3, fraction=0.5, splits=["train", "test"])
    store = fetched(data, tmp_path / "out")
    np.testing.assert_array_equal(store.images, images[[2, 1], :8, 1:9])
    assert store.labels.tolist() == [-1, -1]
    assert len(open_store(tmp_path / "out" / "test").images) == 5


def test_hub_reads_the_pinned_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    revision = "0123456789abcdef" * 2 + "01234567"
    images = pictures(3, 8, 8)
    content = write_parquet(tmp_path / "x", [png(i) for i in images], [0, 1, 2]).read_bytes()
    path = f"/datasets/user/tiny/resolve/{revision}/data/train.parquet"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving({path: content}, headers={"X-Repo-Commit": revision, "ETag": '"abc"'}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        keys = {"repo": "user/tiny", "revision": revision, "files": {"train": ["data/train.parquet"]}}
        data = section("hub", **keys, image_column="img", label_column="label")
        store = fetched(data, tmp_path / "out")
    np.testing.assert_array_equal(store.images[:, :, :, 0], images)
    np.testing.assert_array_equal(store.labels, [0, 1, 2])


def test_the_manifest_is_plain_json_with_the_source_section(tmp_path: Path) -> None:
    write_idx(tmp_path / "idx", pictures(5, 8, 8), LABELS)
    data = section("idx", folders=[tmp_path / "idx"])
    fetched(data, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "train" / "manifest.json").read_text())
    assert manifest["source"] == json.loads(data.model_dump_json())
