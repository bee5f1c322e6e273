"""Localization across folds: what is fitted for a fold is never its own, what was asked is kept, and tables go where they belong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from camtrace.bundle import load_bundle  # noqa: E402
from camtrace.lab import splicing as commands  # noqa: E402
from camtrace.lab import splicing_folds, splicing_large, splicing_nets  # noqa: E402
from camtrace.lab.build import COPIED, Plan  # noqa: E402
from camtrace.lab.datasets import read_dataset  # noqa: E402
from camtrace.lab.forging import Forgery, Way, draw  # noqa: E402
from camtrace.lab.methods import METHODS  # noqa: E402
from camtrace.lab.splice_metrics import Row  # noqa: E402
from camtrace.lab.splicing import Asked, app  # noqa: E402
from camtrace.lab.splicing_fit import ALARMS, allowed, choose_threshold, exact_interval  # noqa: E402
from camtrace.lab.splicing_folds import Kind, count_alarms, cross, is_kept, keep_asked, read_asked  # noqa: E402
from camtrace.lab.splicing_large import plan_large  # noqa: E402
from camtrace.lab.splicing_nets import read_build, write_fold  # noqa: E402
from camtrace.lab.splicing_page import FOLDS, LARGE, marks, put_into, to_markdown  # noqa: E402
from camtrace.lab.splits import Split  # noqa: E402
from camtrace.lab.store import cache_copies, cache_photos  # noqa: E402
from camtrace.tampering.alarm import judge_photo, parse_measured  # noqa: E402
from camtrace.tampering.fusion import Layers  # noqa: E402
from camtrace.types import CamtraceError, Patches  # noqa: E402
from lab_helpers import make_dataset  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from made_splices import KnownNet, known_net  # noqa: E402


def asked(separation: float, *, fold: int, spliced: bool, seed: int) -> Asked:
    """A photo of 12x12 cells with a foreign corner if it is spliced."""
    rng = np.random.default_rng(seed)
    pasted = np.zeros((12, 12), np.int64)
    pasted[:5, :5] = 256 * spliced
    noisy = [rng.normal(size=(12, 12)).astype(np.float32) for _ in range(5)]
    noisy[0] += 2 * (pasted > 0)
    row = Row("fold", str(fold), "A 1", "B 1" if spliced else "", "native", False, "ok", 192, with_data=1.0)
    row = replace(row, separation=separation, likeness=5.0 - 4 * separation, compactness=0.4 + 0.3 * spliced)
    return Asked(row, Layers(*noisy), pasted)


def fold_of(number: int, *, shift: float = 0.0, count: int = 60) -> dict[str, list[Asked]]:
    values = np.linspace(0.5, 1.5, count) + shift
    genuine = [asked(value, fold=number, spliced=False, seed=place) for place, value in enumerate(values)]
    return {
        "squares": [*(asked(value + 1.2, fold=number, spliced=True, seed=99 + place) for place, value in enumerate(values)), *genuine]
    }


def test_a_fold_is_judged_by_what_was_fitted_on_the_others_alone() -> None:
    crossed = cross({0: fold_of(0), 1: fold_of(1, shift=0.4)}, {})
    alike = cross({0: fold_of(0), 1: fold_of(1, shift=0.2)}, {})
    # changing fold 1 leaves what it is judged by as it was, and changes what fold 0 is judged by
    assert crossed.fits[1] == alike.fits[1]
    assert crossed.fits[0] != alike.fits[0]
    scores = [
        judge_photo(crossed.fits[1], one.row.found) for one in fold_of(1, shift=0.4)["squares"] if not one.row.donor and one.row.found
    ]
    assert crossed.alarms[1] == (sum(score >= crossed.fits[1].threshold for score in scores), 60)
    assert crossed.tables[1][0]["false_alarms"] == crossed.alarms[1][0] > 5  # a shifted fold alarms too often: it must show
    assert crossed.alarms[0] == (0, 60)
    assert crossed.tables[0][0]["pixel_auc"] > 0.8
    assert crossed.shipped.bundles == [["fold", "0"], ["fold", "1"]]
    assert crossed.shipped.alarms <= 0.05 * 120
    assert crossed.alarms_as_shipped == (crossed.shipped.alarms, 120)


def test_how_many_may_alarm_by_hand() -> None:
    # 59, 93, 124, 153 and 181 are the sample sizes from which 0, 1, 2, 3 and 4 failures show at most 5 %, with 95 % confidence
    assert [allowed(count) for count in (1, 58, 59, 92, 93, 123, 124, 153, 181)] == [0, 0, 0, 0, 1, 1, 2, 3, 4]
    for count in (59, 93, 150, 400):
        few = allowed(count)
        # the one-sided 95 % limit is the upper end of the two-sided 90 % interval, which is narrower than the 95 % one
        assert few / count < ALARMS
        assert exact_interval(few, count)[0] <= few / count < exact_interval(few, count)[1]
    assert exact_interval(0, 10)[1] == pytest.approx(1 - 0.025**0.1)
    assert exact_interval(10, 10)[1] == 1.0


def test_bounded_groups_get_the_higher_threshold() -> None:
    scores = [float(number) for number in range(100)]
    assert choose_threshold({"a": scores}) == pytest.approx(94)
    assert choose_threshold({"a": scores}, bounded={"a"}) == pytest.approx(98)
    assert choose_threshold({"a": scores, "b": scores}, bounded={"b"}) == pytest.approx(98)


def test_what_was_asked_comes_back(tmp_path: Path) -> None:
    some = [asked(1.0, fold=0, spliced=True, seed=1), Asked(Row("b", "1", "A 1", "", "native", False, "too_small", 60))]
    layers = some[0].layers
    assert layers is not None
    layers.noise[0, 0] = np.nan
    assert not is_kept(tmp_path / "a")
    keep_asked(some, tmp_path / "a")
    assert is_kept(tmp_path / "a")
    again = read_asked(tmp_path / "a")
    assert [one.row for one in again] == [one.row for one in some]
    assert again[1].layers is None
    assert again[0].layers is not None
    for name, part in asdict(layers).items():
        assert np.array_equal(getattr(again[0].layers, name), part, equal_nan=True)
    assert again[0].pasted is not None
    assert again[0].pasted.tolist() == (256 * np.pad(np.ones((5, 5), int), ((0, 7), (0, 7)))).tolist()
    keep_asked([some[1]], tmp_path / "none")
    assert [one.row.status for one in read_asked(tmp_path / "none")] == ["too_small"]


def test_genuine_photos_come_once_before_any_comes_twice(tmp_path: Path) -> None:
    make_dataset(tmp_path, cameras=3, devices=1, photos=3, size=64)
    records = read_dataset(tmp_path)
    paths = [one.host.path for one in draw(records, 0, genuine=13, seed=1)]
    assert set(paths[:9]) == {record.path for record in records}
    assert paths[9:] == paths[:4]
    assert len({path.parent for path in paths[:3]}) == 3  # cameras in turn


def test_the_part_of_a_page_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = marks(FOLDS)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", "utf-8")
    for text in ("new", "newer"):
        put_into(page, text, FOLDS)
        assert page.read_text("utf-8") == f"before\n{begin}\n\n{text}\n\n{end}\nafter\n"
    with pytest.raises(CamtraceError, match="no place for the tables"):
        put_into(page, "x", LARGE)


TOY = Plan(steps=1, batch_made=0, made_photos=0, folds=2, left_out=2, copies=1, quantised=False)


@pytest.fixture(scope="module")
def kept_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build leaves of two folds whose nets were never trained."""
    folder = tmp_path_factory.mktemp("build")
    manifest = make_dataset(folder / "data", cameras=4, devices=1, photos=3, size=128)
    records = read_dataset(manifest)
    (folder / "plan.json").write_text(json.dumps({"data": str(manifest), **asdict(TOY)}), "utf-8")
    names = sorted({record.camera for record in records})
    labels = [names.index(record.camera) for record in records]
    cache_photos(records, folder / "real", labels=labels, copies=1, jobs=1)
    cache_copies(records, folder / COPIED, labels=labels, jobs=1)
    for fold in range(2):
        torch.manual_seed(fold)
        (folder / f"fold{fold}" / "mishaps").mkdir(parents=True)
        save_file(METHODS[TOY.last_net].make().state_dict(), folder / f"fold{fold}" / "mishaps" / "net.safetensors")
    return folder


@pytest.fixture
def work(kept_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; the first fold leaves out the first two cameras, the second one the others."""
    halves = [tuple(range(first, first + 6)) for first in (0, 6)]
    splits = [Split(halves[1 - fold], (), (), halves[fold], "device-or-scene", 0, fold) for fold in (0, 1)]
    monkeypatch.setattr(splicing_nets, "splits_by_device_and_scene", lambda *_, **__: splits)
    copy = tmp_path / "work"
    shutil.copytree(kept_work, copy, ignore=shutil.ignore_patterns("data"))
    return copy


def test_a_folds_net_becomes_a_bundle(work: Path, tmp_path: Path) -> None:
    build = read_build(work)
    write_fold(build, 0, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle", threads=1)
    unseen = {record.camera for record in build.unseen(0)}
    assert len(unseen) == 2
    assert set(bundle.manifest.labels) == {record.camera for record in build.records} - unseen
    assert bundle.comparison() is not None
    patches = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    net = METHODS[TOY.last_net].make()
    net.load_state_dict(_tensors(build.net_of(0)))
    with torch.no_grad():
        wanted = net.eval()(torch.from_numpy(patches).permute(0, 3, 1, 2).float()).numpy()
    assert np.allclose(bundle.extract(Patches(patches, np.zeros((3, 2), np.int64))), wanted, atol=1e-3)
    # another net in its place, with the features that the first one left
    (work / "fold0" / "mishaps" / "net.safetensors").write_bytes((work / "fold1" / "mishaps" / "net.safetensors").read_bytes())
    with pytest.raises(CamtraceError, match="are not this net's; delete them"):
        write_fold(build, 0, tmp_path / "other")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = load_file(path)
    return tensors


def test_a_folder_that_is_no_build_is_said(work: Path, tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match=r"no plan\.json here"):
        read_build(tmp_path)
    (work / "fold1" / "mishaps" / "net.safetensors").unlink()
    with pytest.raises(CamtraceError, match="the fold has no net"):
        read_build(work)


def one_known_net(*_: Any, **__: Any) -> KnownNet:
    return known_net()


def drawn_ask(forgery: Forgery, _bundle: object, way: Way) -> Asked:
    """What a net might say, without one."""
    seed = sum(forgery.place) + len(forgery.host.path.name)
    one = asked(2.5 if forgery.donor else 1.0 + seed % 7 / 20, fold=0, spliced=forgery.donor is not None, seed=seed)
    return replace(one, row=replace(one.row, state=way.state))


def test_one_command_measures_the_folds_and_goes_on_where_it_stopped(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"squares": Kind(Way(side=48), 3, 3), "saved": Kind(Way(side=48, state="jpeg 90"), 2, 2)}
    monkeypatch.setattr(splicing_folds, "KINDS", kinds)
    monkeypatch.setattr(splicing_folds, "OF_SHIPPED", {"squares": Kind(Way(), 0, 2)})
    monkeypatch.setattr(splicing_folds, "load_bundle", one_known_net)
    monkeypatch.setattr(splicing_folds, "ask", drawn_ask)
    monkeypatch.setattr(splicing_folds, "write_fold", lambda _build, _fold, out: out.mkdir(parents=True))
    page = tmp_path / "page.md"
    page.write_text("\n".join(marks(FOLDS)), "utf-8")
    words = ["folds", "--work", work, "--out", tmp_path / "out", "--page", page, "--fitted", tmp_path / "fitted.json"]
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = json.loads((tmp_path / "out" / "folds.json").read_text("utf-8"))
    assert [(line["fold"], line["kind"], line["splices"], line["genuine"]) for line in lines] == [
        *((0, "squares", 3, 3), (0, "saved", 2, 2), (1, "squares", 3, 3), (1, "saved", 2, 2))
    ]
    assert "of 10 = " in page.read_text("utf-8")
    assert parse_measured((tmp_path / "fitted.json").read_text("utf-8")).genuine == 12

    def never(*_: Any) -> Asked:
        raise AssertionError("asked again")

    monkeypatch.setattr(splicing_folds, "ask", never)
    again = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert again.output == done.output
    with pytest.raises(CamtraceError, match="holds other work"):
        CliRunner().invoke(app, [*map(str, words), "--share", "0.5"], catch_exceptions=False)


def test_pages_say_who_judged_whom() -> None:
    text = to_markdown(cross({0: fold_of(0), 1: fold_of(1)}, {}))
    assert "| fold 0 | squares | 60 | 60 |" in text
    assert "0 of 60 of fold 0" in text
    assert "of 120 = " in text


def test_plans_of_large_photos_mix_sizes_and_sides() -> None:
    plans = plan_large(9, sizes=[(1, 1), (2, 2), (3, 3)], sides=[10, 20, 30])
    assert [plan.number for plan in plans] == list(range(18))
    assert len({(plan.size, plan.side) for plan in plans[:9]}) == 9
    assert [plan.side for plan in plans[9:]] == [0] * 9


def test_large_photos_are_made_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splicing_large, "SIZES", ((256, 320),))
    monkeypatch.setattr(splicing_large, "SIDES", (80,))
    bundle = replace(known_net(), files={"features.onnx": b"a net"})
    monkeypatch.setattr(commands, "load_bundle", lambda *_, **__: bundle)
    page = tmp_path / "page.md"
    page.write_text("\n".join(marks(LARGE)), "utf-8")
    words: Sequence[object] = ["large", "--out", tmp_path / "out", "--kept", tmp_path / "kept", "--count", 2, "--page", page]
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = json.loads((tmp_path / "out" / "large.json").read_text("utf-8"))
    assert [(line["kind"], line["splices"], line["genuine"]) for line in lines] == [("piece of 80 pixels", 2, 2), ("all", 2, 2)]
    rows = [one.row for one in read_asked(tmp_path / "kept" / "large-known-1")]
    assert all(row.donor and row.donor != row.photo for row in rows[:2])
    assert not any(row.donor for row in rows[2:])
    assert count_alarms(rows, 0.0) == (0, 2)  # rows that are kept have no score yet
    assert "| piece of 80 pixels | 2 | 2 |" in page.read_text("utf-8")
