"""Compare what the EXIF claims with the camera, family or maker that the pixels speak for.

Makers write their names in many ways (NIKON CORPORATION, NIKON D90), and markets and firmware name one camera in several (EOS 700D is
EOS REBEL T5i and EOS Kiss X7i; Galaxy S4 writes GT-I9505). Names are compared by what is left after company words, the repeated maker,
case and punctuation are gone, and then through the groups of names in `names.json`.

A name is first split into its makers and the rest, the key of its model. Two names are one camera if both are in one group of
`names.json`, or if their keys are equal and their makers do not contradict each other. What is not in `names.json` is still compared
by its spelling, so that cameras of a user's own work as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

from camtrace.screening import as_text, visible
from camtrace.types import UNKNOWN, Claim, Level

_COMPANY_WORDS = frozenset(
    """ag camera cameras co company corp corporation electric electronics gmbh imaging inc international limited ltd
    mobile optical technologies""".split()  # noqa: SIM905 - a list of words reads best as words
)
_NOT_WORDS = re.compile(r"[\W_]+")
_REMEMBERED = 512  # names whose identity is kept; not all, since claims come from outside without end
_LONGEST = 3  # words that a maker's name or brand in names.json has at most
_TELLING = 4  # letters and digits that a model needs to be known without its maker: `GT-I9300` is, `P8` and `12` are not

_Words = tuple[str, ...]


@dataclass(frozen=True)
class _Names:
    """`names.json`, ready to be asked."""

    makers: Mapping[_Words, str]  # what EXIF writes -> the maker's name
    brands: Mapping[_Words, str]  # first words of a model -> the maker's name
    series: Mapping[str, frozenset[str]]  # maker -> words that add nothing to its models' names
    groups: Mapping[tuple[str, str], str]  # maker and model -> the camera's name in names.json
    models: Mapping[str, str]  # the same by model alone, where that tells it


@dataclass(frozen=True)
class _Identity:
    """What a name tells: whose camera, which model, and its group in `names.json`."""

    maker: str | None  # as shown to people
    makers: frozenset[str]  # as compared: Google and LG of a Google Nexus 5; empty where the name tells none
    model: str  # as compared; empty where the name tells none
    group: str | None
    plain: str  # the whole name, as `canonical` has it


def agrees(claim: Claim, answer: str, *, level: Level = "model", cameras: tuple[str, ...] = ()) -> bool | None:
    """Whether the claim names what the pixels speak for.

    Parameters
    ----------
    claim
        Make and model of the EXIF.
    answer
        The verdict's answer: a camera at level `model`, a maker at level `maker`.
    level
        The verdict's level. `model`: the claim must be that camera; `family`: one of the family's cameras; `maker`: a camera of
        that maker.
    cameras
        The cameras of the family; asked at level `family` only.

    Returns
    -------
    bool or None
        None where there is nothing to compare: the answer is unknown, or the EXIF names no model. A make alone can contradict
        (Canon against a Nikon D90) but not confirm a camera; at level `maker` it can do both.
    """
    if UNKNOWN in (level, answer):
        return None
    said = _claimed(claim)
    if level == "maker":
        return bool(said.makers & _identity(answer).makers) if said.makers else None
    candidates = [_identity(camera) for camera in ((answer,) if level == "model" else cameras)]
    if not candidates:
        return None
    if said.model:
        return any(_same(said, candidate) for candidate in candidates)
    makers = frozenset[str]().union(*(candidate.makers for candidate in candidates))
    return False if _listed(said.makers) and _listed(makers) and not said.makers & makers else None


def same_camera(first: str, second: str) -> bool:
    """Whether two names are names of one camera: symmetric, blind to case, spaces and punctuation."""
    return _same(_identity(first), _identity(second))


def maker_of(name: str | Claim) -> str | None:
    """The maker that a camera's name or a claim tells; None where it tells none.

    `NIKON CORPORATION`, `nikon_d90` and a claim of COOLPIX L6 without a make are all `Nikon`. Of a maker that `names.json` does not
    list it is the first word, as written.
    """
    return (_claimed(name) if isinstance(name, Claim) else _identity(name)).maker


def camera_of(folder: str) -> str:
    """The camera whose photos a folder of this name holds: underscores stand for spaces.

    What cannot be shown becomes visible, and what is no text a sign that says so: the name will be shown, and written as UTF-8.
    """
    name = as_text(folder)
    return visible(" ".join(name.replace("_", " ").split()) or name)


def canonical(name: str) -> str:
    """A camera's name reduced to what tells it apart: `NIKON CORPORATION NIKON D90` and `Nikon_D90` become `nikond90`."""
    return "".join(dict.fromkeys(_words(name)))


def _same(first: _Identity, second: _Identity) -> bool:
    if first.plain and first.plain == second.plain:
        return True
    if first.group and second.group:
        return first.group == second.group
    contradict = first.makers and second.makers and not first.makers & second.makers
    return bool(first.model) and first.model == second.model and not contradict


@lru_cache(_REMEMBERED)
def _claimed(claim: Claim) -> _Identity:
    make, model = claim.make or "", claim.model or ""
    if not _words(model):
        return replace(_identity(make), model="", group=None, plain="")
    if not _words(make) or _leading(_words(model), _names().makers):  # RICOH IMAGING COMPANY, LTD. writes PENTAX K-1
        return _identity(model, made=False)
    whole, alone = _identity(f"{make} {model}"), _identity(model, made=False)
    brand = _names().brands.get(_words(make))  # POCO writes M2012K11AG, which is listed as Xiaomi's
    return alone if alone.group and not whole.group and brand in alone.makers else whole


@lru_cache(_REMEMBERED)
def _identity(name: str, *, made: bool = True) -> _Identity:
    """What a name tells. `made`: a first word that nobody knows is the maker's."""
    names, words = _names(), _words(name)
    makers, rest = _split(words, names.makers)
    plain = "".join(dict.fromkeys(words))
    group = None if makers else names.models.get("".join(words))
    shown = None
    if not makers and not group and (brand := _leading(words, names.brands)):
        makers = (brand[0],)
    elif not makers and not group and made and words:
        shown = next(word for word in _NOT_WORDS.split(name) if _words(word))
        makers, rest = words[:1], tuple(word for word in words if word != words[0])
    model = _model(rest, makers, names.series)
    group = group or next((names.groups[maker, model] for maker in makers if (maker, model) in names.groups), None)
    family = _split(_words(group), names.makers)[0] if group else ()
    return _Identity(shown or next(reversed((*makers, *family)), None), frozenset((*makers, *family)), model, group, plain)


def _words(name: str) -> _Words:
    plain = name.casefold().replace("+", " plus ")  # HERO3+ is another camera than HERO3
    return tuple(word for word in _NOT_WORDS.split(plain) if word and word not in _COMPANY_WORDS)


def _leading(words: _Words, table: Mapping[_Words, str]) -> tuple[str, int] | None:
    """The longest entry of the table that the words begin with: whose it is and how many words it takes."""
    lengths = range(min(len(words), _LONGEST), 0, -1)
    return next(((table[words[:length]], length) for length in lengths if words[:length] in table), None)


def _split(words: _Words, table: Mapping[_Words, str]) -> tuple[_Words, _Words]:
    """The makers that a name begins with, and the rest: `NIKON CORPORATION NIKON D90` names Nikon twice."""
    makers: list[str] = []
    while found := _leading(words, table):
        makers.append(found[0])
        words = words[found[1] :]
    return tuple(makers), words


def _model(words: _Words, makers: _Words, series: Mapping[str, frozenset[str]]) -> str:
    idle = frozenset[str]().union(*(series.get(maker, frozenset()) for maker in makers))
    return "".join(dict.fromkeys(word for word in words if word not in idle))


def _listed(makers: frozenset[str]) -> bool:
    return bool(makers) and makers <= frozenset(_names().makers.values())


@cache
def _names() -> _Names:
    """Read `names.json`."""
    table = json.loads((files("camtrace") / "names.json").read_text("utf-8"))
    makers = {_words(text): maker for maker, texts in table["makers"].items() for text in (maker, *texts)}
    brands = {_words(text): maker for maker, texts in table["brands"].items() for text in texts}
    series = {maker: frozenset(word.casefold() for word in words) for maker, words in table["series"].items()}
    groups: dict[tuple[str, str], str] = {}
    owners: dict[str, set[str]] = {}
    for entry in table["cameras"]:
        own = _split(_words(entry["name"]), makers)[0]
        for name in _all_names(entry):
            whose, rest = _split(_words(name), makers)
            model = _model(rest, whose or own, series)
            groups.update({(maker, model): entry["name"] for maker in whose[-1:] or own})
            owners.setdefault(model, set()).add(entry["name"])
    clear = {model: min(names) for model, names in owners.items() if len(names) == 1}
    models = {model: name for model, name in clear.items() if len(model) >= _TELLING and not model.isdigit()}
    return _Names(makers, brands, series, groups, models)


def _all_names(entry: Mapping[str, str | list[str]]) -> list[str]:
    """The name of an entry of `names.json` and its aliases of every kind."""
    return [name for value in entry.values() for name in ([value] if isinstance(value, str) else value)]
