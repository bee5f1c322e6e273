"""A package from outside adds a rule, an output, a data set, a protocol and a method; a broken one is named, and harms nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import camtrace
from camtrace import plugins
from camtrace.bundle import FEATURES, HEAD, write_bundle
from camtrace.lab.datasets import LAYOUTS, Layout, find_layout, read_dataset
from camtrace.lab.protocols import PROTOCOLS
from camtrace.outputs import FORMS, WRITERS
from camtrace.patches import PATCH_SIZE, RESIZED, RULES, select_patches
from camtrace.photo import read_photo
from camtrace.plugins import PluginError, extend, find_plugins
from camtrace.types import CamtraceError
from lab_helpers import make_dataset
from made import encode, noise, run_cli
from made_wheels import ROOT, build_wheel, install, run_with

OUTSIDE = Path(__file__).parent / "outside_package"
GROUP = "camtrace.tests"

Package = Callable[..., Path]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the outside package was built and installed into."""
    return install(build_wheel(OUTSIDE, tmp_path_factory.mktemp("wheel")), tmp_path_factory.mktemp("target"))


@pytest.fixture
def here(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outside package, to be found in this process too."""
    monkeypatch.syspath_prepend(str(outside))
    return outside


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Installs a package that is one module and its entry points."""

    def write(name: str, code: str, group: str, **targets: str) -> Path:
        folder = tmp_path / name
        information = folder / f"{name}-2.0.dist-info"
        information.mkdir(parents=True)
        (folder / f"{name}.py").write_text(code)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        lines = [f"{entry} = {target}" for entry, target in targets.items()]
        (information / "entry_points.txt").write_text("\n".join((f"[{group}]", *lines, "")))
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return write


@pytest.fixture(scope="module")
def outside_rule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that ships, but that its manifest asks for the patch rule from outside."""
    folder, bundle = tmp_path_factory.mktemp("bundles") / "by-darkest", camtrace.load_bundle()
    features, head = bundle.files[FEATURES], bundle.files[HEAD]
    manifest = replace(bundle.manifest, rule="darkest", head="one-vs-one", calibration=None)
    write_bundle(folder, manifest, features=features, head=head, references=bundle.references(), card="a card")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of noise: whatever it is taken for, it is judged."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(noise(200, 330, low=60, high=190), "JPEG", quality=95))
    return path


def test_the_outside_package_adds_one_of_each(here: Path) -> None:
    groups = {group: [plugin.name for plugin in find_plugins(group)] for group in plugins.GROUPS}
    assert groups == {
        "camtrace.rules": ["darkest"],
        "camtrace.outputs": ["markdown"],
        "camtrace.datasets": ["by-name"],
        "camtrace.protocols": ["every-other-device"],
        "camtrace.methods": ["green-steps"],
    }
    assert {plugin.package for group in plugins.GROUPS for plugin in find_plugins(group)} == {"camtrace-outside 1.0"}


def test_a_rule_from_outside_chooses_patches(here: Path, photo: Path) -> None:
    chosen = select_patches(read_photo(photo), rule="darkest", count=4)
    means = chosen.pixels.reshape(4, -1).mean(axis=1)
    pixels = read_photo(photo).pixels
    grid = [
        pixels[row : row + PATCH_SIZE, column : column + PATCH_SIZE].mean()
        for row in range(0, pixels.shape[0] - PATCH_SIZE + 1, PATCH_SIZE)
        for column in range(0, pixels.shape[1] - PATCH_SIZE + 1, PATCH_SIZE)
    ]
    np.testing.assert_allclose(means, sorted(grid)[:4])


def test_the_installed_command_uses_rule_and_output_from_outside(outside: Path, outside_rule: Path, photo: Path) -> None:
    run = run_with(outside, "-m", "camtrace", "identify", photo, "--bundle", outside_rule, "--to", "markdown")
    assert (run.returncode, run.stderr) == (0, "")
    head, line, row = run.stdout.splitlines()
    assert (head, line) == ("| photo | camera |", "|---|---|")
    assert row.startswith("| ")
    assert str(photo).replace("\\", "\\\\") in row


def test_without_the_package_its_rule_and_output_are_refused(outside_rule: Path, photo: Path) -> None:
    run = run_cli("identify", photo, "--bundle", outside_rule)
    assert (run.code, run.out) == (1, "")
    assert f"rule 'darkest' is not one of mid-tone, quality, {RESIZED}" in run.err
    run = run_cli("identify", photo, "--to", "markdown")
    assert (run.code, run.out) == (2, "")
    assert "'markdown' is not one of text, json, jsonl, csv, parquet" in run.err


@pytest.mark.lab
def test_a_method_from_outside_ends_as_a_bundle_that_needs_no_package(outside: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
    data = tmp_path / "data"
    make_dataset(data, cameras=3, devices=2, photos=3, size=192)
    run = run_with(outside, "-m", "camtrace", "lab", "train", data, "--method", "green-steps", "--out", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    assert 0 <= json.loads(run.stdout)["photos"]["majority"][0] <= 1
    bundle = camtrace.load_bundle(tmp_path / "run" / "bundle")
    assert bundle.manifest.training["method"] == "green-steps"
    photo = next(data.glob("*/*.jpg"))
    patches = select_patches(read_photo(photo), count=2)
    np.testing.assert_allclose(bundle.extract(patches), [green_steps(pixels) for pixels in patches.pixels], atol=1e-6)
    assert camtrace.identify(photo, bundle=bundle).best == photo.parent.name.replace("_", " "), "the photo may have taught it"


def green_steps(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of the differences 0, 1, ... 7 or more of green pixels, across and down: what the method from outside gives."""
    green = pixels[..., 1].astype(int)
    steps = [np.minimum(np.abs(np.diff(green, axis=axis)), 7).ravel() for axis in (1, 0)]
    return np.concatenate([np.bincount(one, minlength=8) / len(one) for one in steps])


METHOD = """
from dataclasses import replace
from torch import nn
from camtrace.lab.methods import METHODS
SPAM = METHODS["spam"]
"""


@pytest.mark.lab
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("3", "found int, expected a camtrace.lab.methods.Method; see docs/plugins.md"),
        ("replace(SPAM, head='fisher')", "its head 'fisher' is not among its heads svm; see docs/plugins.md"),
        ("replace(SPAM, heads=('svm', 'softmax'))", "it has no recipe, so nothing is trained: .* softmax"),
        ("replace(SPAM, rule='brightest')", "its patch rule 'brightest' is not one of mid-tone, quality, resized"),
        ("replace(SPAM, count=0)", "it asks 0 patches of 64 pixels, expected at least one of each"),
    ],
)
def test_a_method_must_keep_what_methods_promise(package: Package, changed: str, said: str) -> None:
    pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
    from camtrace.lab.methods import find_method

    name = f"method_{zlib.crc32(changed.encode())}"
    package(name, f"{METHOD}\nmine = {changed}\n", plugins.METHODS, **{name: f"{name}:mine"})
    with pytest.raises(PluginError, match=f"{name} 2.0: its plug-in .* is not what it must be: {said}"):
        find_method(name)


@pytest.mark.lab
def test_a_method_from_outside_is_called_as_its_entry_point_is(package: Package) -> None:
    pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
    from camtrace.lab.methods import METHODS, find_method

    package(
        "renamed", f"{METHOD}\nmine = replace(SPAM, make=nn.Flatten)\n", plugins.METHODS, mine="renamed:mine", **{"a/b": "renamed:mine"}
    )
    assert set(METHODS.builtin) < set(METHODS)
    assert find_method("mine").name == "mine"
    assert find_method("mine:svm").name == "mine-svm"
    with pytest.raises(PluginError, match=r"renamed 2\.0: .* made Flatten, expected camtrace\.lab\.methods\.Features with a dimension"):
        find_method("mine").make()
    with pytest.raises(PluginError, match="'a/b' cannot name files"):
        METHODS["a/b"]
    with pytest.raises(CamtraceError, match=r"'yours' is not a method; expected one of camera-conv-net, .*, mine"):
        find_method("yours")


def test_a_package_that_lacks_pytorch_is_not_called_broken(package: Package) -> None:
    package("torchless", "raise ModuleNotFoundError('No module named torch', name='torch')", plugins.METHODS, far="torchless:mine")
    [plugin] = [one for one in find_plugins(plugins.METHODS) if one.name == "far"]
    with pytest.raises(PluginError, match=r"cannot be loaded: .*; pip install 'camtrace\[lab\]'$"):
        plugin.load()


def make_named(folder: Path) -> Path:
    """A data set of two cameras, two devices each, three photos a device, as the outside layout reads it; the photos are empty."""
    folder.mkdir()
    for camera in ("Aurora A100", "Borea B1"):
        for body in ("b1", "b2"):
            for number in range(3):
                (folder / f"{camera}__{body}__scene {number}__{number}.jpg").touch()
    return folder


def test_the_lab_splits_a_data_set_from_outside_by_a_protocol_from_outside(outside: Path, tmp_path: Path) -> None:
    data, out = make_named(tmp_path / "data"), tmp_path / "splits.json"
    words = ("lab", "split", data, "--layout", "by-name", "--protocol", "every-other-device", "--count", 2, "--out", out)
    run = run_with(outside, "-m", "camtrace", *words)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[0] == "split 0: 6 to train on, 0 to validate, 6 to test"
    written = json.loads(out.read_text())
    assert written["protocol"] == "device"
    assert {name.split("__")[1] for name in written["splits"][0]["test"]} == {"b1"}


def test_a_layout_from_outside_is_read_only_where_it_is_named(here: Path, tmp_path: Path) -> None:
    data = make_named(tmp_path / "data")
    records = read_dataset(data, layout="by-name")
    assert {(record.camera, record.device, record.scene) for record in records} == {
        (camera, f"{camera}/{body}", f"scene {number}")
        for camera in ("Aurora A100", "Borea B1")
        for body in ("b1", "b2")
        for number in range(3)
    }
    assert "by-name" not in LAYOUTS
    with pytest.raises(CamtraceError, match=r"no photos found; expected .*CAMERA/PHOTO"):
        read_dataset(data)
    with pytest.raises(CamtraceError, match="expected one of by-name, daxing, "):
        read_dataset(data, layout="by-nam")


def test_names_from_outside_come_after_the_built_in_ones_and_are_not_imported(here: Path) -> None:
    code = (
        "import sys; from camtrace.outputs import FORMS, WRITERS; from camtrace.patches import RULES; "
        "assert list(RULES) == ['mid-tone', 'quality', 'darkest'] and len(RULES) == 3; "
        "assert list(FORMS) == ['text', 'json', 'jsonl', 'csv', 'parquet', 'markdown'] and 'markdown' in WRITERS; "
        "assert 'camtrace_outside' not in sys.modules; WRITERS['markdown']; assert 'camtrace_outside.markdown' in sys.modules; "
        "assert 'camtrace_outside.darkest' not in sys.modules"
    )
    run = run_with(here, "-c", code)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_built_in_name_asks_for_no_plug_ins() -> None:
    code = (
        "import sys; from camtrace.outputs import WRITERS; from camtrace.patches import RULES; RULES['mid-tone']; "
        "assert 'csv' in WRITERS; assert 'importlib.metadata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plug_in_replaces_nothing_that_is_built_in(package: Package) -> None:
    built_in = RULES["mid-tone"]
    package("thief", "def rule(pixels, size):\n    raise SystemExit('never run')\n", plugins.RULES, **{"mid-tone": "thief:rule"})
    assert [plugin.package for plugin in find_plugins(plugins.RULES)] == ["thief 2.0"]
    assert RULES["mid-tone"] is built_in
    assert list(RULES) == ["mid-tone", "quality"]


def test_a_value_is_loaded_once(package: Package) -> None:
    package("once", "made = []\ndef make():\n    pass\n", GROUP, one="once:make")
    known = extend(dict[str, object](), GROUP)
    assert known["one"] is known["one"]
    assert known.get("two") is None


@pytest.mark.parametrize(
    ("code", "target", "said"),
    [
        ("import nowhere_at_all", "broken:thing", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise RuntimeError('at import')", "broken:thing", "cannot be loaded: RuntimeError: at import"),
        ("", "broken:thing", "cannot be loaded: AttributeError: module 'broken' has no attribute 'thing'"),
        ("thing = 3", "broken:thing", "is not what it must be: found int, expected a function; see docs/plugins.md"),
    ],
)
def test_a_broken_package_is_named(package: Package, monkeypatch: pytest.MonkeyPatch, code: str, target: str, said: str) -> None:
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    package("broken", code, GROUP, thing=target)
    known = extend({"good": len}, GROUP)
    assert known["good"] is len
    assert "thing" in known
    assert list(known) == ["good", "thing"]
    with pytest.raises(PluginError) as error:
        known["thing"]
    assert str(error.value).startswith(f"broken 2.0: its plug-in 'thing' of {GROUP} (broken:thing) {said}")


def test_two_packages_may_not_offer_one_name(package: Package) -> None:
    for name in ("first", "second"):
        package(name, "def make():\n    pass\n", GROUP, same=f"{name}:make")
    known = extend(dict[str, object](), GROUP)
    assert list(known) == ["same"]
    with pytest.raises(PluginError, match=r"camtrace\.tests: 'same' is offered by first 2\.0 and second 2\.0; uninstall all"):
        known["same"]


def test_a_broken_output_ends_the_command_with_one_line(tmp_path: Path, package: Package, photo: Path) -> None:
    folder = package("broken_output", "import nowhere_at_all\n", plugins.OUTPUTS, nice="broken_output:write")
    run = run_with(folder, "-m", "camtrace", "identify", photo, "--to", "nice")
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("camtrace: broken_output 2.0: its plug-in 'nice' of camtrace.outputs (broken_output:write) cannot be loaded")


def test_a_rule_of_the_wrong_shape_is_refused(package: Package, tmp_path: Path) -> None:
    package("flat", "def rule(pixels, size):\n    return [1.0]\n", plugins.RULES, flat="flat:rule")
    rule = RULES["flat"]
    with pytest.raises(PluginError, match=r"flat 2\.0: .* gave scores \(1,\), expected \(2, 3\), one for each patch"):
        rule(noise(130, 200), 64)


def test_a_layout_must_be_one(package: Package) -> None:
    package("folder_reader", "def read(root):\n    return []\n", plugins.DATASETS, **{"mine": "folder_reader:read"})
    with pytest.raises(PluginError, match=r"folder_reader 2\.0.* found function, expected a camtrace\.lab\.datasets\.Layout"):
        find_layout("mine")
    assert isinstance(find_layout("folders"), Layout)


PROTOCOL = """
from camtrace.lab.splits import Split
def draw(records, *, count, seed):
    everything = tuple(range(len(records)))
    return [Split(everything, (), everything, (), protocol={promise!r}, seed=seed, number=number) for number in range(count + {more})]
"""


@pytest.mark.parametrize(
    ("promise", "more", "said"),
    [
        ("device", 0, "a split breaks its promise 'device': train and test share the photo"),
        ("none at all", 0, "a split promises 'none at all', expected one of device-scene, device, scene"),
        ("random-patch", 1, "drew 3 splits, asked for 2"),
        ("random-patch", 0, None),
    ],
)
def test_a_protocol_is_held_to_its_promise(package: Package, tmp_path: Path, promise: str, more: int, said: str | None) -> None:
    name = f"protocol_{promise.replace(' ', '_').replace('-', '_')}_{more}"
    package(name, PROTOCOL.format(promise=promise, more=more), plugins.PROTOCOLS, **{name: f"{name}:draw"})
    records = find_layout("folders").read(folders(tmp_path / "photos"))
    if said is None:
        assert [split.label for split in PROTOCOLS[name](records, count=2, seed=3)] == ["random-patch (leaky)"] * 2
        return
    with pytest.raises(PluginError, match=f"{name} 2.0: its plug-in '{name}' .* ?{said}"):
        PROTOCOLS[name](records, count=2, seed=3)


def folders(root: Path) -> Path:
    """Two cameras with two devices each, a photo a device; the photos are empty."""
    for camera in ("A", "B"):
        for body in ("1", "2"):
            (root / camera / body).mkdir(parents=True)
            (root / camera / body / "0.jpg").touch()
    return root


def test_what_the_documentation_shows_is_what_the_package_holds() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    for path in sorted((OUTSIDE / "camtrace_outside").glob("[a-z]*.py")):
        assert f"```python\n{path.read_text('utf-8')}```" in page, path.name
    assert all(group in page for group in plugins.GROUPS)


def test_writers_that_are_built_in_are_all_offered() -> None:
    assert set(WRITERS.builtin) < set(FORMS.builtin)
