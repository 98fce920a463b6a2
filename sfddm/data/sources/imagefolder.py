"""A folder of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import model_validator

from sfddm.data.decode import decode_image
from sfddm.data.examples import NO_LABEL, Example, Examples
from sfddm.data.spec import ImageSource, Split
from sfddm.runtime.errors import SfddmError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder(ImageSource):
    """A folder of images for each split; the first folder level names the class where there is one."""

    name = "imagefolder"

    folders: dict[Split, Path]

    @model_validator(mode="after")
    def _complete(self) -> ImageFolder:
        self.require("folders", self.folders)
        return self

    def read_split(self, split: Split) -> Examples:
        """Return the images at any depth below the split's folder, sorted by their path in it (by code points).

        The first folder level names the class; classes are numbered in sorted order. Images that lie directly in
        the folder have no label. Hidden files and folders and other suffixes are passed over; links are followed.

        Raises:
            SfddmError: there is no such folder, or no image in it.
        """
        root = self.folders[split].expanduser()
        if not root.is_dir():
            raise SfddmError(f"{root}: no such folder; data.folders.{split} must name a folder of images")
        files = find_images(root)
        if not files:
            raise SfddmError(f"{root}: no image in it; data.folders.{split} takes {', '.join(SUFFIXES)}")
        classes = tuple(sorted({file.split("/", 1)[0] for file in files if "/" in file}))
        return Examples(_examples(root, files, classes), len(files), classes)


def find_images(root: Path) -> list[str]:
    """Return the images below ``root`` as sorted relative paths with forward slashes.

    Raises:
        SfddmError: a link leads back to a folder around it.
    """
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for link in (Path(folder) / name for name in subfolders):
            if link.is_symlink() and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(link)):
                raise SfddmError(f"{link}: is a link to a folder that it lies in, whose images would count again")
        relative = Path(folder).relative_to(root)
        images = (name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        found += [(relative / name).as_posix() for name in images]
    return sorted(found)


def _examples(root: Path, files: list[str], classes: tuple[str, ...]) -> Iterator[Example]:
    numbers = {name: number for number, name in enumerate(classes)}
    for file in files:
        label = numbers[file.split("/", 1)[0]] if "/" in file else NO_LABEL
        place = str(root / file)
        yield Example(partial(decode_image, root / file, place), label, place)
