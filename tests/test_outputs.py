"""The words of the text output about the EXIF's claim: what follows from it, and what does not."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from camtrace.outputs import to_text, write_text
from camtrace.types import UNKNOWN, BundleId, Claim, Ranked, Verdict

VERDICT = Verdict(
    source="a.jpg",
    sha256="0" * 64,
    status="ok",
    answer="Canon EOS REBEL T5i",
    answer_level="model",
    best="Canon EOS REBEL T5i",
    reason="votes",
    ranking=(Ranked("Canon EOS REBEL T5i", None, 30), Ranked("Nikon D90", None, 2)),
    n_patches=32,
    log10_lr=None,
    claim=Claim("Canon", "Canon EOS 700D"),
    claim_agrees=True,
    bundle=BundleId("made", "1"),
)


def words_on_the_claim(**changes: Any) -> str:
    """What the text output says from `EXIF claims` up to the next field."""
    text = to_text(replace(VERDICT, **changes))
    return text[text.index("EXIF claims: ") + 13 : text.index("  Why:")].rstrip("\n")


def test_agreement_is_no_proof() -> None:
    assert words_on_the_claim() == "Canon Canon EOS 700D - this names the same camera (no proof: anyone can write it)"
    assert "one of these cameras (no proof" in words_on_the_claim(answer="Canon EOS", answer_level="family")
    assert "the same maker (no proof" in words_on_the_claim(answer="Canon", answer_level="maker")


def test_disagreement_says_what_it_means_and_what_not() -> None:
    words = words_on_the_claim(claim=Claim("Apple", "iPhone 7"), claim_agrees=False)
    first, second = words.splitlines()
    assert first == "Apple iPhone 7 - DISAGREES: the pixels speak for Canon EOS REBEL T5i"
    for meaning in ("changed EXIF", "saved the file", "photo of a screen", "wrong verdict", "the card", "no proof of forgery"):
        assert meaning in second


def test_nothing_follows_from_an_unknown_camera() -> None:
    unknown: dict[str, Any] = {"answer": UNKNOWN, "answer_level": "unknown", "claim_agrees": None}
    known, other = words_on_the_claim(**unknown), words_on_the_claim(**unknown, claim=Claim("Apple", "iPhone 7"))
    assert "a camera that this bundle knows" in known
    assert "a camera that this bundle does not know" in other
    for words in (known, other):
        assert "nothing follows for or against it" in words
        assert "DISAGREES" not in words
    assert words_on_the_claim(**unknown, claim=Claim("Canon", None)) == "Canon - this names no camera to compare, so nothing follows"
    assert words_on_the_claim(**unknown, claim=Claim()) == "nothing"


def test_a_make_alone_is_not_compared_in_words() -> None:
    assert "names no camera to compare" in words_on_the_claim(claim=Claim("Canon", None), claim_agrees=None)


def test_the_lines_of_two_verdicts_stay_apart() -> None:
    out = io.StringIO()
    write_text([replace(VERDICT, claim_agrees=False), VERDICT], out)
    assert [line[:14] for line in out.getvalue().splitlines() if "EXIF" in line[:8]] == ["  EXIF claims:"] * 2
