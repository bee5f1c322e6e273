"""The page of an experiment holds all it was given, needs nothing else and lets nothing in; tables read back as they were written."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camtrace.lab.page import Experiment, Table, percent, write_page, write_table
from camtrace.types import CamtraceError
from made import encode, noise
from test_house import modules_after

pytestmark = pytest.mark.lab  # jinja2 comes with camtrace[lab]

DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>93</text></svg>'
EXPERIMENT = Experiment(
    name="fig3",
    title="Accuracy by votes",
    paper="Bondi et al. 2017, Fig. 3",
    command="camtrace lab reproduce fig3 --data photos --splits 2",
    date="2025-11-22",
    data="1,750 photos by 46 cameras",
    cut=("2 of 10 random splits", "patch-cnn: 9,481 steps"),
    published=Table("Published", ("method", "accuracy"), (("CNN", "93 %"),), note="18 Dresden cameras"),
    tables=(
        Table("Here", ("method", "photos", "share", "accuracy"), (("patch-cnn", 301, 0.30000000000000004, "75.2 % (71.3 to 79.1)"),)),
        Table("Gaps", ("method", "1", "32"), (("spam", None, -2.5), ("short row",))),
    ),
    says=("The CNN wins.", "SPAM is second."),
)
HOLLOW = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would make of a page; fails on tags that do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in HOLLOW:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(experiment: Experiment, folder: Path) -> tuple[str, Page]:
    write_page(experiment, folder / "pages" / "page.html")
    html = (folder / "pages" / "page.html").read_bytes().decode("utf-8")
    return html, Page(html)


def with_figures(folder: Path) -> Experiment:
    (folder / "drawing.svg").write_bytes(DRAWING)
    (folder / "picture.PNG").write_bytes(encode(noise(8, 8), "PNG"))
    return replace(EXPERIMENT, figures=(("A drawing", folder / "drawing.svg"), ("A picture", folder / "picture.PNG")))


def test_the_page_holds_all_it_was_given(tmp_path: Path) -> None:
    _, page = write(EXPERIMENT, tmp_path)
    given = [EXPERIMENT.name, EXPERIMENT.title, EXPERIMENT.paper, EXPERIMENT.command, EXPERIMENT.date, EXPERIMENT.data]
    given += [*EXPERIMENT.cut, *EXPERIMENT.says, "Published", "18 Dresden cameras", "Here", "Gaps"]
    assert [text for text in given if text not in page.text] == []
    assert page.text.count(EXPERIMENT.title) == 2  # as the window's title and as the heading


def test_tables_keep_their_rows_the_published_one_first(tmp_path: Path) -> None:
    _, page = write(EXPERIMENT, tmp_path)
    assert page.rows == [
        ["method", "accuracy"],
        ["CNN", "93 %"],
        ["method", "photos", "share", "accuracy"],
        ["patch-cnn", "301", "0.3", "75.2 % (71.3 to 79.1)"],
        ["method", "1", "32"],
        ["spam", "n/a", "-2.5"],
        ["short row", "", ""],
    ]
    tables = [attributes["class"] for attributes in page.named("div") if (attributes["class"] or "").split()[0] == "table"]
    assert tables == ["table published", "table", "table"]


def test_our_tables_are_not_taken_for_published_ones(tmp_path: Path) -> None:
    _, page = write(replace(EXPERIMENT, published=None), tmp_path)
    assert "93 %" not in page.text
    assert not any("published" in (attributes["class"] or "") for attributes in page.named("div"))


def test_columns_of_numbers_are_flush_right_and_words_are_not(tmp_path: Path) -> None:
    table = Table("t", ("what", "share", "words"), (("a", "93 %", "93 %"), ("b", None, "within 1 %")))
    _, page = write(replace(EXPERIMENT, published=None, tables=(table,)), tmp_path)
    assert [attributes.get("class") for attributes in page.named("td")] == ["number", None, "number", None]


def test_figures_are_inside_with_their_captions(tmp_path: Path) -> None:
    experiment = with_figures(tmp_path)
    _, page = write(experiment, tmp_path)
    images = page.named("img")
    assert [image["alt"] for image in images] == ["A drawing", "A picture"]
    for image, (caption, path), kind in zip(images, experiment.figures, ("svg+xml", "png"), strict=True):
        head, _, data = (image["src"] or "").partition(",")
        assert head == f"data:image/{kind};base64"
        assert base64.b64decode(data, validate=True) == path.read_bytes()
        assert caption in page.text


def test_the_page_runs_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    html, page = write(with_figures(tmp_path), tmp_path)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    loads = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href", "srcset", "data")]
    assert len(loads) == 2
    assert all((value or "").startswith("data:image/") for value in loads)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import|//", re.sub(r"data:[^\"]*", "", html))
    (policy,) = (meta["content"] or "" for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_what_it_is_given_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;"
    (tmp_path / "drawing.svg").write_bytes(DRAWING)
    table = Table(evil, (evil, evil), ((evil, evil),), note=evil)
    texts = dict.fromkeys(("name", "title", "paper", "command", "date", "data"), evil)
    html, page = write(
        Experiment(**texts, cut=(evil,), says=(evil,), published=table, tables=(table,), figures=((evil, tmp_path / "drawing.svg"),)),
        tmp_path,
    )
    assert "<script" not in html
    assert [image["alt"] for image in page.named("img")] == [evil]
    assert page.text.count(evil) == 6 + 1 + 2 + 1 + 2 * 6  # fields and the title again, cut and says, caption, tables


def test_the_page_is_for_phones_paper_and_both_lights(tmp_path: Path) -> None:
    html, page = write(EXPERIMENT, tmp_path)
    assert any(meta.get("name") == "viewport" for meta in page.named("meta"))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert page.named("html") == [{"lang": "en"}]


def test_the_same_experiment_gives_the_same_page(tmp_path: Path) -> None:
    experiment = with_figures(tmp_path)
    first, _ = write(experiment, tmp_path)
    assert write(experiment, tmp_path)[0] == first
    assert "\r" not in first


def test_an_experiment_of_which_little_is_known(tmp_path: Path) -> None:
    _, page = write(Experiment(title="Bare", paper="none"), tmp_path)
    assert "Bare" in page.text
    assert "Nothing was noted as cut." in page.text
    assert not any(word in page.text for word in ("Numbers", "Figures", "How it was run"))
    _, page = write(EXPERIMENT, tmp_path)
    assert "Nothing was noted as cut." not in page.text


@pytest.mark.parametrize(
    ("name", "message"), [("missing.svg", "cannot be read as a figure"), ("figure.pdf", r"expected \.svg or \.png")]
)
def test_figures_that_cannot_be_embedded_are_named(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match=rf"{re.escape(name)}: .*{message}"):
        write_page(replace(EXPERIMENT, figures=(("A figure", tmp_path / name),)), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("share", "text"),
    [
        ((0.752, 0.713, 0.791), "75.2 % (71.3 to 79.1)"),
        ((1.0, 0.99951, 1.0), "100.0 % (100.0 to 100.0)"),
        ((0.0, 0.0, 0.0149), "0.0 % (0.0 to 1.5)"),
        (None, "n/a"),
    ],
)
def test_percent(share: tuple[float, float, float] | None, text: str) -> None:
    assert percent(share) == text


def read_back(stem: Path) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    with Path(f"{stem}.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream)), json.loads(Path(f"{stem}.json").read_text("utf-8"))


def test_tables_read_back_the_same_from_csv_and_json(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"camera": 'Nikon "D70", black\nand Ø', "share": np.float32(0.5), "count": np.int64(3), "ok": True},
        {"camera": "Sony", "share": 0.1 + 0.2, "count": None, "ok": False, "late": math.nan},
    ]
    write_table(rows, tmp_path / "new" / "fig-2.1")
    as_csv, as_json = read_back(tmp_path / "new" / "fig-2.1")
    assert as_json == [
        {"camera": rows[0]["camera"], "share": 0.5, "count": 3, "ok": True},
        {"camera": "Sony", "share": 0.30000000000000004, "count": None, "ok": False, "late": None},
    ]
    assert as_csv == [
        {"camera": rows[0]["camera"], "share": "0.5", "count": "3", "ok": "True", "late": ""},
        {"camera": "Sony", "share": "0.30000000000000004", "count": "", "ok": "False", "late": ""},
    ]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["fig-2.1.csv", "fig-2.1.json"]


def test_intervals_become_three_columns(tmp_path: Path) -> None:
    write_table([{"method": "a", "photos": (0.5, 0.25, 0.75)}, {"method": "b", "photos": None}], tmp_path / "t")
    as_csv, as_json = read_back(tmp_path / "t")
    assert as_json == [
        {"method": "a", "photos": 0.5, "photos_low": 0.25, "photos_high": 0.75},
        {"method": "b", "photos": None, "photos_low": None, "photos_high": None},
    ]
    assert as_csv[1] == {"method": "b", "photos": "", "photos_low": "", "photos_high": ""}


def test_a_table_without_rows(tmp_path: Path) -> None:
    write_table([], tmp_path / "t")
    assert read_back(tmp_path / "t") == ([], [])


def test_tables_have_the_same_bytes_on_every_system(tmp_path: Path) -> None:
    write_table([{"a": 1}], tmp_path / "t")
    assert (tmp_path / "t.csv").read_bytes() == b"a\n1\n"
    assert (tmp_path / "t.json").read_bytes() == b'[\n {\n  "a": 1\n }\n]\n'


def test_jinja_is_loaded_only_to_write_a_page() -> None:
    loaded = modules_after("import camtrace.lab.page")
    assert "camtrace.lab.page" in loaded
    assert not loaded & {"jinja2", "matplotlib", "torch"}
