"""Downloads: checked, resumed, and clear about what could not be reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_data import (
    cifar_section,
    pictures,
    refused,
    section,
    serving,
    sha256,
)

from sfddm.data.download import cached_path, fetch_file
from sfddm.data.spec import Download
from sfddm.runtime.errors import SfddmError

ZEROS = "0" * 64


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# Downloads

CONTENT = pictures(300_000).tobytes()


def download_of(url: str) -> Download:
    return Download(url=f"{url}/file.bin", sha256=sha256(CONTENT))


def test_download_resumes_at_once_after_a_broken_connection() -> None:
    with serving({"/file.bin": CONTENT}, break_at=[98_304, 49_152]) as server:
        path = fetch_file(download_of(server.url))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=98304-", "bytes=147456-"]
    assert not path.with_name("file.bin.part").exists()


def test_download_resumes_what_an_earlier_run_left() -> None:
    with serving({"/file.bin": CONTENT}) as server:
        path = cached_path(download_of(server.url))
        path.parent.mkdir(parents=True)
        path.with_name("file.bin.part").write_bytes(CONTENT[:77_777])
        assert fetch_file(download_of(server.url)).read_bytes() == CONTENT
    assert server.ranges == ["bytes=77777-"]


def test_download_that_was_complete_is_only_checked() -> None:
    with serving({"/file.bin": CONTENT}) as server:
        path = cached_path(download_of(server.url))
        path.parent.mkdir(parents=True)
        path.with_name("file.bin.part").write_bytes(CONTENT)
        assert fetch_file(download_of(server.url)).read_bytes() == CONTENT


def test_download_starts_over_where_the_server_cannot_resume() -> None:
    with serving({"/file.bin": CONTENT}, break_at=[98_304], resumes=False) as server:
        assert fetch_file(download_of(server.url)).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=98304-"]


def test_a_file_put_by_hand_is_taken_without_a_server() -> None:
    download = download_of("http://127.0.0.1:9")
    cached_path(download).parent.mkdir(parents=True)
    cached_path(download).write_bytes(CONTENT)
    assert fetch_file(download).read_bytes() == CONTENT


def test_downloads_of_one_name_are_kept_apart() -> None:
    contents = {"/mnist/images.gz": b"digits", "/fashion/images.gz": b"clothes"}
    with serving(contents) as server:
        wanted = [Download(url=server.url + path, sha256=sha256(content)) for path, content in contents.items()]
        paths = [fetch_file(download) for download in wanted]
    assert [path.read_bytes() for path in paths] == [b"digits", b"clothes"]


# The network


def test_an_unreachable_address_names_the_file_to_put_where(tmp_path: Path) -> None:
    download = Download(url="http://127.0.0.1:9/c.tar.gz", sha256=ZEROS)
    with pytest.raises(SfddmError) as caught:
        fetch_file(download)
    sentence = str(caught.value)
    for word in (download.url, "no connection", str(cached_path(download)), ZEROS):
        assert word in sentence
    data = cifar_section(tmp_path / "here.tar.gz", download=download.model_dump())
    refused(data, tmp_path, download.url, f"or at {tmp_path / 'here.tar.gz'}")
    downloads = {"train-images-idx3-ubyte.gz": download.model_dump()}
    refused(
        section("idx", folders=[tmp_path / "idx"], downloads=downloads),
        tmp_path,
        download.url,
        f"into {tmp_path}",
    )


def test_a_missing_file_on_the_server() -> None:
    with serving({}) as server, pytest.raises(SfddmError, match="the server answered 404"):
        fetch_file(Download(url=f"{server.url}/c.tar.gz", sha256=ZEROS))


def test_a_download_with_another_digest_is_not_kept() -> None:
    with serving({"/c.tar.gz": b"x" * 1000}) as server:
        download = Download(url=f"{server.url}/c.tar.gz", sha256=sha256(b"y" * 1000))
        for _ in range(2):
            with pytest.raises(SfddmError, match=f"does not have sha256 {download.sha256}"):
                fetch_file(download)
        assert server.ranges == [None, None]
    assert [path.name for path in cached_path(download).parent.iterdir()] in ([], ["c.tar.gz.lock"])


def test_what_arrived_before_the_server_was_lost_is_kept() -> None:
    with serving({"/c": bytes(300_000)}, break_at=[98_304, *[0] * 9]) as server:
        download = Download(url=f"{server.url}/c", sha256=ZEROS)
        with pytest.raises(SfddmError, match="no connection"):
            fetch_file(download)
    assert cached_path(download).with_name("c.part").stat().st_size == 98_304


def test_the_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    data = section("hub", repo="user/tiny", revision="0" * 40, files={"train": ["data/train.parquet"]})
    refused(data, tmp_path, "data/train.parquet", "user/tiny", "cannot be reached", "source parquet")
