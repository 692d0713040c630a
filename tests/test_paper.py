"""The paper for the Journal of Open Source Education: its parts, its sources, its length."""

import re
from pathlib import Path

import yaml
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "paper.md").read_text("utf-8")
HEAD, BODY = TEXT.split("---\n")[1:3]


def test_what_is_cited_is_what_its_bibliography_has_and_the_book_has_it_too() -> None:
    cited = {*re.findall(r"@(\w+)", BODY)}
    ours = parse_file(str(ROOT / "paper.bib")).entries
    book = parse_file(str(ROOT / "book/references.bib")).entries
    assert {*ours} == cited
    assert all(ours[key] == book[key] for key in cited)


def test_the_head_has_what_the_journal_asks_for() -> None:
    head = yaml.safe_load(HEAD)
    assert {*head} == {"title", "tags", "authors", "affiliations", "date", "bibliography"}
    known = {place["index"] for place in head["affiliations"]}
    assert {author["affiliation"] for author in head["authors"]} <= known
    assert (ROOT / head["bibliography"]).is_file()


def test_its_parts_and_its_length_are_those_that_the_journal_asks_for() -> None:
    parts = re.findall(r"^# (.+)$", BODY, re.M)
    assert {"Summary", "Statement of need", "Acknowledgements", "References"} <= {*parts}
    assert 500 < len(BODY.split()) < 1500
