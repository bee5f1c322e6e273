"""The service answers over HTTP exactly what Python answers, and refuses with a status and a reason."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="what asks the service by its own description is not there: pip install schemathesis")
pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

import hypothesis
import jsonschema
import schemathesis
import typer
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from typer.testing import CliRunner

import camtrace
from camtrace.calibration import MODES
from camtrace.cli.web import export_web, serve
from camtrace.manifest import MANIFEST
from camtrace.simulator import MadeCamera
from camtrace.web import models
from camtrace.web.settings import MEMORY_BUNDLES, Limits, Settings, check
from camtrace.web.shelf import NameTakenError, Served, Shelf
from made import made_photo, run_cli, write_album
from made_service import PATIENCE, Running, running

SMALL, LARGE = 128, 256  # only the larger has enough blocks for a tamper map
SHIPPED = Path(camtrace.__file__).parent / "models" / "default"
LIMITS = Limits(upload=3_000_000, files=8, queue=32)


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(Settings(port=0, workers=2, limits=LIMITS)) as service:
        yield service


@pytest.fixture(scope="module")
def photos(cameras: tuple[MadeCamera, ...]) -> dict[str, bytes]:
    """Name to bytes: photos of two cameras, and what is none."""
    found = {f"{number}.jpg": made_photo(cameras[number], 900 + number, size=SMALL) for number in range(2)}
    found["large.jpg"] = made_photo(cameras[0], 900, size=LARGE)
    return {**found, "none.jpg": b"no photo", "ümläut\u202e.jpg": found["0.jpg"], "": b""}


def test_identify_gives_the_verdicts_of_python_in_the_order_of_the_upload(service: Running, photos: dict[str, bytes]) -> None:
    sent = [(name or "photo", data) for name, data in photos.items()]
    for mode in MODES:
        answer = service.post("identify", sent, mode=mode)
        expected = [camtrace.identify(data, name=name, mode=mode).to_dict() for name, data in sent]
        assert answer.status_code == 200
        assert answer.json() == json.loads(json.dumps({"verdicts": expected}))


def test_form_fields_come_before_those_of_the_address(service: Running, photos: dict[str, bytes]) -> None:
    upload = {"photos": ("0.jpg", photos["0.jpg"])}
    expected = {mode: camtrace.identify(photos["0.jpg"], name="0.jpg", mode=mode).to_dict() for mode in MODES}
    assert expected["careful"] != expected["guess"]
    by_query = service.client.post("/api/identify?mode=guess", files=upload)
    both = service.client.post("/api/identify?mode=guess", files=upload, data={"mode": "careful"})
    assert by_query.json()["verdicts"] == [expected["guess"]]
    assert both.json()["verdicts"] == [expected["careful"]]


@pytest.mark.parametrize("name", ["large.jpg", "none.jpg"])
def test_inspect_and_localize_give_what_python_gives(service: Running, photos: dict[str, bytes], name: str) -> None:
    sent = [(name, photos[name])]
    inspected = camtrace.inspect(photos[name], name=name).to_dict()
    assert service.post("inspect", sent).json() == json.loads(json.dumps(inspected))
    localized = camtrace.localize(photos[name], name=name).to_dict()
    found = service.post("localize", sent).json()
    assert {**found, "score": None} == {**localized, "score": None}
    assert found["score"] == pytest.approx(localized["score"])


def test_compare_gives_what_the_command_prints(service: Running, photos: dict[str, bytes], tmp_path: Path) -> None:
    paths = [tmp_path / "0.jpg", tmp_path / "1.jpg"]
    for path in paths:
        path.write_bytes(photos[path.name])
    printed = json.loads(run_cli("compare", *paths, "--to", "json").out)
    assert service.post("compare", [(str(path), photos[path.name]) for path in paths]).json() == printed


def test_the_heat_map_is_a_picture_for_those_who_ask_for_one(service: Running, photos: dict[str, bytes]) -> None:
    sent = [("large.jpg", photos["large.jpg"])]
    answer = service.post("localize", sent, headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size[0] >= LARGE
    assert service.post("localize", sent, headers={"Accept": "application/json, image/png"}).json()["status"] == "ok"
    none = service.post("localize", [("none.jpg", b"no photo")], headers={"Accept": "image/png"})
    assert none.status_code == 422
    assert "not a photo" in none.json()["error"]


def test_a_report_is_a_file_that_cannot_run_here(service: Running, photos: dict[str, bytes]) -> None:
    answer = service.post("report", [("<b>0</b>.jpg", photos["0.jpg"])])
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"] == 'attachment; filename="camtrace-report.html"'
    assert "sandbox" in answer.headers["content-security-policy"]
    assert camtrace.identify(photos["0.jpg"]).sha256 in answer.text  # type: ignore[operator]
    assert "<b>0</b>" not in answer.text


def test_facts(service: Running) -> None:
    assert service.client.get("/api/cameras").json() == json.loads(run_cli("cameras", "--to", "json").out)
    listed = service.client.get("/api/bundles").json()
    assert listed["bundles"][0] | {"cameras": None} == {
        **camtrace.load_bundle().id.__dict__,
        **{"cameras": None, "default": True, "origin": "started with"},
    }
    assert listed["limits"] == {"upload": LIMITS.upload, "files": LIMITS.files, "pixels": LIMITS.pixels}
    assert service.client.get("/healthz").json() == {"status": "ok", "waiting": 0}


@pytest.fixture(scope="module")
def taught(
    service: Running, cameras: tuple[MadeCamera, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, camtrace.Enrolment]:
    """Two cameras taught over HTTP, and the same by Python from a folder."""
    folder = tmp_path_factory.mktemp("taught")
    for camera in cameras[:2]:
        write_album(folder / camera.name.replace(" ", "_"), camera, range(100, 102), size=SMALL)
    sent = [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in sorted(folder.rglob("*.jpg"))]
    sent += [(f"{sent[0][0].split('/')[0]}/broken.jpg", b"no photo")]
    answer = service.post("enroll", sent, name="two", only="true")
    return answer, camtrace.enroll(folder, out=tmp_path_factory.mktemp("out") / "two", only=True)


def test_an_enrolled_bundle_judges_as_one_that_python_enrolled(
    service: Running, taught: tuple[Any, camtrace.Enrolment], photos: dict[str, bytes]
) -> None:
    answer, enrolment = taught
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["bundle"] == asdict(enrolment.bundle.id)
    assert told["photos"] == enrolment.photos
    assert told["warnings"] == list(enrolment.warnings)
    assert list(told["failures"]) == ["Aurora_A100/broken.jpg"]
    assert (told["origin"], told["dropped"]) == ("memory", [])
    found = service.post("identify", [("1.jpg", photos["1.jpg"])], bundle="two").json()["verdicts"][0]
    assert found == camtrace.identify(photos["1.jpg"], bundle=enrolment.bundle, name="1.jpg").to_dict()
    known = service.client.get("/api/cameras", params={"bundle": "two"}).json()
    assert [camera["name"] for camera in known["cameras"]] == list(enrolment.bundle.manifest.labels)


def test_two_bundles_cannot_have_one_name(service: Running, taught: object, photos: dict[str, bytes]) -> None:
    for name in ("two", "TWO", "default"):
        answer = service.post("enroll", [("0.jpg", photos["0.jpg"])], name=name, camera="Aurora A100")
        assert answer.status_code == 409, name
        assert "choose another name" in answer.json()["error"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "../two", "camera": "A 1"}, "no name for a bundle"),
        ({"name": "con", "camera": "A 1"}, "no name for a bundle"),
        ({"camera": ["A 1", "A 2", "A 3"]}, "3 fields camera for 2 photos"),
        ({}, "photos called CAMERA/FILE"),
        ({"camera": "A\u202e1"}, "is not a name of up to"),
        ({"camera": "A" * 500}, "is not a name of up to"),
        ({"camera": "_"}, "is not a name of up to"),
        ({"camera": "A 1", "only": "perhaps"}, "true or false"),
        ({"camera": "A 1", "only": "true"}, "at least 2"),
        ({"camera": "A 1", "bundle": "gone"}, "no bundle called 'gone', expected one of default"),
        ({"camera": "A 1", "name": ["a", "b"]}, "given 2 times"),
    ],
)
def test_enrolments_that_cannot_be_are_refused(service: Running, photos: dict[str, bytes], fields: Any, reason: str) -> None:
    answer = service.post("enroll", [("0.jpg", photos["0.jpg"]), ("1.jpg", photos["1.jpg"])], **fields)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


def test_the_oldest_bundle_makes_room() -> None:
    shelf = Shelf((None,))
    dropped = [shelf.add(shelf.write(_named(f"b{number}"))) for number in range(MEMORY_BUNDLES + 2)]
    assert dropped == [[]] * MEMORY_BUNDLES + [["b0"], ["b1"]]
    assert shelf.find("b1") is None
    assert shelf.find("b2") is not None
    with shelf.reserved("enrolled-1"):  # it is being taught
        assert shelf.suggest() == "enrolled-2"
    assert shelf.find(None) is shelf.find("default") is shelf.default


def _named(name: str) -> dict[str, bytes]:
    """The files of the bundle that ships, under another name."""
    found = {path.name: path.read_bytes() for path in SHIPPED.iterdir()}
    return {**found, MANIFEST: json.dumps(json.loads(found[MANIFEST]) | {"name": name}).encode()}


def test_kept_bundles_are_there_after_a_restart(tmp_path: Path) -> None:
    shelf = Shelf((None,), keep=tmp_path / "kept")
    shelf.add(shelf.write(_named("again")))
    restarted = Shelf((None,), keep=tmp_path / "kept").find("again")
    assert isinstance(restarted, Served)
    assert (restarted.origin, restarted.path) == ("kept", tmp_path / "kept" / "again")
    with pytest.raises(FileExistsError):
        shelf.write(_named("again"))
    with pytest.raises(NameTakenError), shelf.reserved("AGAIN"):
        pass
    (tmp_path / "kept" / "again" / "head.onnx").write_bytes(b"changed")
    with pytest.raises(camtrace.BundleError, match="changed since"):
        Shelf((None,), keep=tmp_path / "kept")


def test_a_disk_that_is_full_is_told_and_nothing_is_left(
    service: Running, cameras: tuple[MadeCamera, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.service.shelf, "_keep", tmp_path)
    monkeypatch.setattr("camtrace.safe_files.os.fsync", full)
    sent = [(f"{camera.name}/{number}.jpg", made_photo(camera, number, size=128)) for camera in cameras[:2] for number in (100, 101)]
    answer = service.post("enroll", sent, name="full", only="true")
    assert answer.status_code == 507
    assert answer.json()["error"] == "the bundle cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []
    assert service.service.shelf.find("full") is None


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"method": "GET", "url": "/api/identify"}, 405, "/api/identify is asked with POST"),
        ({"method": "GET", "url": "/api/nothing"}, 404, "no such endpoint"),
        ({"method": "GET", "url": "/nothing.html"}, 404, "Not Found"),
        ({"method": "POST", "url": "/api/identify", "content": b"{}"}, 415, "multipart/form-data"),
        ({"method": "POST", "url": "/api/identify", "json": {}}, 415, "application/json"),
        ({"method": "POST", "url": "/api/identify", "files": {"mode": (None, "guess")}}, 422, "no photos"),
        ({"method": "POST", "url": "/api/identify", "files": {"other": b"x"}}, 422, "a file in the field 'other', expected photos"),
        ({"method": "POST", "url": "/api/identify?mode=sure", "files": {"photos": b"x"}}, 422, "'sure' is not one of careful"),
        ({"method": "POST", "url": "/api/identify?bundle=gone", "files": {"photos": b"x"}}, 422, "no bundle called 'gone'"),
        ({"method": "POST", "url": "/api/compare", "files": {"photos": b"x"}}, 422, "1 photos, expected two"),
        ({"method": "POST", "url": "/api/inspect", "files": [("photos", b"x")] * 2}, 422, "2 photos, expected one"),
        ({"method": "POST", "url": "/api/report?format=doc", "files": {"photos": b"x"}}, 422, "html or pdf"),
        ({"method": "POST", "url": "/api/identify", "files": [("photos", b"x")] * 9}, 413, "more than 8 photos"),
        ({"method": "POST", "url": "/api/identify", "files": {"photos": b"x" * 3_000_000}}, 413, "larger than 3 MB"),
    ],
)
def test_refusals_have_a_status_and_a_reason(service: Running, request_: Any, status: int, reason: str) -> None:
    answer = service.client.request(**request_)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert reason in answer.json()["error"]


def test_the_page_is_served(service: Running) -> None:
    answer = service.client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert '<meta name="camtrace-engine" content="http">' in answer.text
    script = service.client.get("/page.js")
    assert script.headers["content-type"].startswith("text/javascript")


def test_the_document_describes_what_is_answered(service: Running, photos: dict[str, bytes]) -> None:
    document = service.client.get("/openapi.json").json()
    described = document["components"]["schemas"]
    shipped = json.loads((files("camtrace") / "verdict.schema.json").read_text("utf-8"))
    assert {"$schema": shipped["$schema"], **described["Verdict"]} == shipped
    endpoints = {"identify": "Verdicts", "inspect": "Inspection", "localize": "Localization", "compare": "Likeness"}
    for endpoint, shape in endpoints.items():
        content = document["paths"][f"/api/{endpoint}"]["post"]["responses"]["200"]["content"]
        assert content["application/json"]["schema"] == models.refer(shape)
        sent = [("0.jpg", photos["0.jpg"])] * (2 if endpoint == "compare" else 1)
        validator = jsonschema.Draft202012Validator({**models.refer(shape), "components": {"schemas": described}})
        validator.validate(service.post(endpoint, sent).json())
    assert "securitySchemes" not in document["components"]


def test_whatever_is_sent_is_answered_as_described(service: Running) -> None:
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    interface = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")
    tried = set()
    for found in interface.get_all_operations():
        operation = found.ok() if hasattr(found, "ok") else pytest.fail(f"not described well: {found}")

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=4, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=checks, timeout=PATIENCE)
            tried.add(case.path)

        ask()
    assert {"/api/identify", "/api/enroll", "/api/bundles", "/healthz"} <= tried


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(serve)
    return app


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0: others can reach the service there, so it needs a token"),
        (["--host", "::"], "needs a token"),
        (["--host", "example.org"], "needs a token"),
        (["--allow-host", "photos.example.org"], "photos.example.org: others can reach the service there, so it needs a token"),
        (["--token", "short"], "the token has 5 characters, expected at least 16"),
        (["--token", "a token with spaces in it"], "letters, digits and signs only"),
        (["--queue", "2"], "a queue of 2 photos cannot hold the 64 of one request"),
    ],
)
def test_a_service_that_would_be_unsafe_does_not_start(
    command: typer.Typer, words: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMTRACE_TOKEN", raising=False)
    run = CliRunner().invoke(command, words)
    assert (run.exit_code, run.stdout) == (2, "")
    assert reason in run.stderr


def test_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, command: typer.Typer) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("camtrace.web.app.serve", lambda settings, **_: seen.append(settings))
    monkeypatch.setenv("CAMTRACE_TOKEN", "0123456789abcdef")
    run = CliRunner().invoke(command, ["--host", "0.0.0.0", "--max-upload", "2000"])
    assert run.exit_code == 0, run.stderr
    check(seen[0])
    assert seen[0].token == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(seen[0])
    assert seen[0].limits.upload == 2_000_000_000


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, command: typer.Typer) -> None:
    monkeypatch.delitem(__import__("sys").modules, "camtrace.web.app")
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    run = CliRunner().invoke(command, [])
    assert run.exit_code == 2
    assert run.stderr == "camtrace: the service needs uvicorn; install it with: pip install 'camtrace[web]'\n"


def test_the_page_is_written_by_its_own_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("camtrace.web.export.export_web", lambda out, **options: asked.append((out, options)))
    app = typer.Typer()
    app.command()(export_web)
    run = CliRunner().invoke(app, [str(tmp_path), "--force"])
    assert run.exit_code == 0, run.output
    assert asked == [(tmp_path, {"bundle": None, "force": True})]
