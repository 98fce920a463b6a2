"""Walks an lmdb environment to its end, in a process of its own: a damaged one can end it by a signal.

lmdb maps the file into memory and follows what it reads there. The last byte of each value is looked at, so that a
later walk meets nothing that this one did not.
"""

from __future__ import annotations

import sys


def main(path: str, subdir: bool) -> None:
    """Print how many entries there are; more than the header states are not walked."""
    import lmdb

    with lmdb.open(path, subdir=subdir, readonly=True, lock=False, readahead=False) as environment:
        stated, walked = environment.stat()["entries"], 0
        with environment.begin(buffers=True) as transaction:
            for key, value in transaction.cursor():
                bytes(key)
                bytes(value[-1:])
                walked += 1
                if walked > stated:
                    break
    if walked != stated:
        raise SystemExit(f"it states {stated} entries and holds {walked if walked < stated else 'more'}")
    print(walked)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "folder")
