"""Corpora are fetched from a server of this machine: whole, piece by piece, by their sums, into the recipe's layout."""

import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serenanet_modules import cli
from serenanet_modules.data import downloads
from serenanet_modules.data.recipe import Recipe
from tests.support.layouts import candidates, fleurs, librispeech
from tests.support.tiny import ROOT

SETS = {"train_splits": "[]", "dev_splits": "[dev-clean]", "test_splits": "[test-clean]"}


class Server(ThreadingHTTPServer):
    """Serves `files` by path; of each request it does once what ``trouble`` says: cut it short, refuse or spoil it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.trouble, self.asked, self.ranges = {}, [], [], True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        begin = self.headers.get("Range", "")
        server.asked.append((path, begin))
        trouble, content = server.trouble.pop(0) if server.trouble else None, server.files.get(path)
        if content is None or isinstance(trouble, int):
            self.send_error(trouble or 404)
            return
        first = int(begin.removeprefix("bytes=").rstrip("-")) if begin and server.ranges else 0
        if first >= len(content) > 0:
            self.send_error(416)
            return
        rest = content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: len(rest) // 2] if trouble == "cut" else rest[::-1] if trouble == "spoil" else rest)

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def packed(folder, name, **more):
    """A folder and texts by name as a .tar.gz."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.add(folder, name)
        for path, text in more.items():
            archive.addfile(_entry(path, text), io.BytesIO(text))
    return made.getvalue()


def _entry(path, text):
    entry = tarfile.TarInfo(path)
    entry.size = len(text)
    return entry


@pytest.fixture
def libri(server, tmp_path, monkeypatch):
    """``libri(*arguments) -> (status, stdout, stderr)``: two subsets from the server into ``got``."""
    source, sums = librispeech(tmp_path / "source", ("dev-clean", "test-clean")), {}
    for name in ("dev-clean", "test-clean"):
        content = packed(source / name, f"LibriSpeech/{name}", **{"LibriSpeech/LICENSE.TXT": b"CC BY 4.0"})
        server.files[f"/{name}.tar.gz"], sums[name] = content, f"sha256:{hashlib.sha256(content).hexdigest()}"

    def with_sums(recipe, parts, mirror):
        found = real(recipe, parts, mirror)
        return [downloads.Download(d.url, d.place, sums[d.place.rpartition("/")[2]], d.inside) for d in found]

    real = Recipe.downloads
    monkeypatch.setattr(Recipe, "downloads", with_sums)
    return lambda *more: run("librispeech", tmp_path / "got", server, *more, parts="dev-clean,test-clean")


def run(corpus, out, server, *more, parts):
    return cli.main(["download", corpus, "--out", str(out), "--mirror", server.url, "--parts", parts, *more])


def test_it_is_what_the_recipe_reads(libri, server, tmp_path, capsys):
    """Nothing else is left; what is there is not asked for again."""
    assert libri() == 0 and "LibriSpeech/test-clean: fetched" in capsys.readouterr().out
    read = [
        sorted((c.id, c.text, c.split) for c in candidates("LibriSpeech", folder, **SETS))
        for folder in (tmp_path / "source", tmp_path / "got")
    ]
    assert read[0] == read[1] and len(read[0]) == 4
    assert sorted(path.name for path in (tmp_path / "got/LibriSpeech").iterdir()) == [
        "LICENSE.TXT",
        "dev-clean",
        "test-clean",
    ]
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["LibriSpeech"]
    server.asked.clear()
    assert libri() == 0 and "dev-clean: is already there" in capsys.readouterr().out and not server.asked


def test_it_goes_on_where_a_connection_broke(libri, server, capsys):
    """Within a call, and in the next one; a server that cannot go on begins again."""
    size = len(server.files["/dev-clean.tar.gz"])
    server.trouble = ["cut", 503, "cut"]
    assert libri() == 0
    assert [begin for path, begin in server.asked if "dev-clean" in path] == [
        "",
        f"bytes={size // 2}-",
        f"bytes={size // 2}-",
        f"bytes={size // 2 + (size - size // 2) // 2}-",
    ]


def test_the_next_call_goes_on(libri, server, capsys):
    server.trouble = ["cut", *[503] * 4]
    assert libri() == 2
    assert "the connection breaks after" in capsys.readouterr().err
    server.ranges = False
    assert libri() == 0 and server.asked[5][1].startswith("bytes=")


def test_wrong_sums(libri, server, tmp_path, capsys):
    """What came is deleted, and fetched anew."""
    server.trouble = ["spoil"]
    assert libri() == 2
    error = capsys.readouterr().err
    assert "the downloaded file has the checksum" in error and error.count("\n") == 1
    assert not (tmp_path / "got/LibriSpeech").exists() and libri() == 0


def test_archives_stay_in_their_folder(server, tmp_path):
    (tmp_path / "a").mkdir()
    content = packed(tmp_path / "a", "a", **{"../outside.txt": b"x"})
    server.files["/a.tar.gz"] = content
    wanted = downloads.Download(f"{server.url}/a.tar.gz", "a", f"sha256:{hashlib.sha256(content).hexdigest()}", "a")
    with pytest.raises(downloads.UserError, match="cannot be unpacked"):
        downloads.fetch([wanted], tmp_path / "got/deep", tell=str)
    assert not list(tmp_path.rglob("outside.txt"))


def test_fleurs(server, tmp_path, capsys):
    """Lists by git's sums, archives by SHA-256, both as the hub says them."""
    source, listing = fleurs(tmp_path / "source"), []
    for split in ("train", "dev", "test"):
        text = (source / f"data/sw_ke/{split}.tsv").read_bytes()
        sound = packed(source / f"data/sw_ke/audio/{split}", split)
        git = hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()
        lfs = {"oid": hashlib.sha256(sound).hexdigest()}
        for name, content, told in (
            (f"{split}.tsv", text, {"oid": git}),
            (f"audio/{split}.tar.gz", sound, {"oid": "0" * 40, "lfs": lfs}),
        ):
            path = f"data/sw_ke/{name}"
            server.files[f"/datasets/google/fleurs/resolve/main/{path}"] = content
            listing.append({"type": "file", "path": path, **told})
    tree = "/api/datasets/google/fleurs/tree/main/data/sw_ke"
    server.files[tree] = json.dumps([{"type": "directory", "path": "data/sw_ke/audio"}, *listing]).encode()
    assert run("fleurs", tmp_path / "got", server, parts="sw_ke") == 0
    ours, theirs = (
        [(c.id, c.text, c.split) for c in candidates("FLEURS", tmp_path / name, language="sw_ke")]
        for name in ("got", "source")
    )
    assert ours == theirs and len(ours) == 6
    server.files[tree] = b"<html>"
    assert run("fleurs", tmp_path / "other", server, parts="sw_ke") == 2
    assert "answers with no list of files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("librispeech", "--parts", "dev-cleen"), "there is no 'dev-cleen' in LibriSpeech"),
        (("fleurs",), "name languages, such as --parts sw_ke"),
        (("fleurs", "--parts", "sw"), "did you mean sw_ke?"),
        (("mboshi",), "Mboshi: is no recipe of what can be fetched"),
        (("voxforge",), "voxforge: has no dataset.yaml"),
        (("librispeech", "--mirror", "ftp://x"), "give a URL that begins with https://"),
        (("librispeech", "--mirror", "http://127.0.0.1:9/"), "the connection breaks"),
    ],
)
def test_refusals(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    assert cli.main(["download", *arguments, "--out", str(tmp_path / "got")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_what_the_server_lacks(server, tmp_path, capsys):
    assert run("librispeech", tmp_path / "got", server, parts="dev-clean") == 2
    assert "the server says 404" in capsys.readouterr().err


def test_sums_are_there_for_all_subsets():
    found = Recipe(ROOT / "recipes/LibriSpeech").downloads()
    assert len(found) == 5 and all(len(d.digest) == len("sha256:") + 64 for d in found)
