"""Folders of files: one suite for a folder of this machine and for a bucket behind a small imitation of its API."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest

from shared.errors import FolderError
from shared.files.cloud_storage import CloudStorageFolder
from shared.files.local import LocalFolder
from shared.files.protocol import Folder
from tests.support.graph.servers import serving


def bucket_app() -> flask.Flask:
    """The requests of the JSON API that are made: put, get, list by pages of two; the first of all fails once."""
    app, objects, failures = flask.Flask("bucket"), dict[str, bytes](), [503]

    @app.post("/upload/storage/v1/b/<bucket>/o")
    def put(bucket: str) -> flask.Response:
        if bucket != "lab":
            return flask.Response(status=404)
        if failures:
            return flask.Response(status=failures.pop())
        if flask.request.args.get("ifGenerationMatch") == "0" and flask.request.args["name"] in objects:
            return flask.Response(status=412)
        objects[flask.request.args["name"]] = flask.request.get_data()
        return flask.jsonify({})

    @app.get("/storage/v1/b/<bucket>/o/<path:name>")
    def get(bucket: str, name: str) -> flask.Response:
        found = objects.get(name)
        return flask.Response(found, 404 if found is None else 200)

    @app.get("/storage/v1/b/<bucket>/o")
    def names(bucket: str) -> flask.Response:
        if bucket != "lab":
            return flask.Response(status=403)
        start = int(flask.request.args.get("pageToken", 0))
        found = sorted(name for name in objects if name.startswith(flask.request.args["prefix"]))
        page: dict[str, object] = {"items": [{"name": name} for name in found[start : start + 2]]}
        return flask.jsonify(page | ({"nextPageToken": str(start + 2)} if found[start + 2 :] else {}))

    return app


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    with serving(bucket_app()) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield CloudStorageFolder("lab", "exports/one")


@pytest.fixture(params=["local", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return LocalFolder(tmp_path / "exports" / "one")
    found: Folder = request.getfixturevalue("bucket")
    return found


def test_files_are_put_replaced_read_and_listed(folder: Folder) -> None:
    assert (folder.names(), folder.read("a")) == ([], None)
    for name, content in (("b", b"1"), ("a", b""), ("c d", bytes(range(256))), ("b", b"2")):
        folder.write(name, content)
    assert folder.names() == ["a", "b", "c d"]
    assert [folder.read(name) for name in ("a", "b", "c d", "e")] == [b"", b"2", bytes(range(256)), None]


def test_of_many_that_create_a_file_one_does_and_it_stays(folder: Folder) -> None:
    contents = [bytes([number]) * 1000 for number in range(8)]
    with ThreadPoolExecutor(len(contents)) as pool:
        created = list(pool.map(lambda content: folder.create("a", content), contents))
    assert created.count(True) == 1
    assert folder.read("a") == contents[created.index(True)]
    assert folder.names() == ["a"]
    folder.write("a", b"replaced")
    assert (folder.create("a", b"late"), folder.read("a")) == (False, b"replaced")


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_or_not_allowed_is_no_matter_of_time() -> None:
    other = CloudStorageFolder("other", "")
    with pytest.raises(FolderError, match="no such bucket"):
        other.write("a", b"1")
    with pytest.raises(FolderError, match="no such bucket"):
        other.create("a", b"1")
    with pytest.raises(FolderError, match="403"):
        other.names()
