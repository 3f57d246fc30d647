"""The report as one page: everything in one file, nothing from elsewhere, each table and picture in its place."""

import re
from html.parser import HTMLParser

import fake_records
import pytest

from helpers import figures, records, report
from helpers.environment import InputError, RunError
from helpers.profiles import ROOT
from helpers.report import page as page_of
from helpers.report import writing
from helpers.study.pages import write_page

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """What a page has: headings, links, sources; fails on a tag that is not closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.links, self.sources, self.ids, self.images = [], {}, [], [], set(), []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        self.ids |= {given["id"]} if "id" in given else set()
        self.images += [given] if tag == "img" else []
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture(scope="module")
def study():
    return fake_records.study("minilm", tasks=("cola", "sst2"))


def page(study, pictures=()):
    return report.render_page(study, report.render_tables(study), pictures)


def test_the_page_needs_nothing_but_itself(study):
    picture = report.Picture("figure1", b"<svg/>", 'a "line" < b', "Figure 1. Bars: *95 %*.")
    found = Outline(page(study, [picture]))
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links) and len(found.links) >= 5
    assert [source[:26] for source in found.sources] == ["data:image/svg+xml;base64,"]
    assert found.images[0]["alt"] == 'a "line" < b'
    text = page(study, [picture])
    assert "@import" not in text and not re.search(r"url\(", text)
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text


def test_every_table_is_there_under_its_heading_with_what_stands_below(study):
    found = Outline(page(study))
    assert found.texts["h2"] == [
        "What others claim",
        "Size and score",
        "Time",
        "More than chance?",
        "Machines and versions",
    ]
    assert found.texts["h3"] == [
        "Claims",
        "Table 1",
        "Retention",
        "Table 2",
        "Latency",
        "Differences",
        "Significance",
        "Records",
    ]
    text = page(study)
    for part in (
        "make study PROFILE=minilm",
        "Testor 9000",
        "torch 2.13.0",
        "reproduced",
        "10^6 bytes",
        "6, of 01, 03",
        "13.1\u00a0%",
    ):
        assert part in text


def test_no_table_is_left_out_of_a_page_of_everything():
    placed = [name for _, tables, _ in page_of._SECTIONS for name in tables]
    assert sorted(placed) == sorted({*writing._TABLES, "order_answer", "trials"})
    drawn = {file.stem for file in (ROOT / "figures").glob("*/*.svg")}
    assert drawn and drawn <= {name for *_, pictures in page_of._SECTIONS for name in pictures}


def test_a_page_is_written_from_the_files_of_a_repository(study, tmp_path):
    for record in study:
        records.write(record, tmp_path / "results" / "minilm" / "records")
    for name, figure in figures.published(study).items():
        figures.save(figure, tmp_path / "figures" / "minilm", name)
    file = write_page(tmp_path, study)
    assert file == tmp_path / "results" / "minilm" / "report.html"
    found = Outline(file.read_text(encoding="utf-8"))
    starts = (
        "Scatter of score against time",
        "Line charts of score against pruning",
        "Heat map of zeros",
        "Line charts",
    )
    assert len(found.images) == 4
    assert all(image["alt"].startswith(start) for image, start in zip(found.images, starts, strict=True))
    assert any("Figure 1. Score on the validation split" in text for text in found.texts["p"])
    with pytest.raises(InputError, match="no record"):
        write_page(tmp_path, [])
    records.write_text(tmp_path / "figures" / "minilm" / "other.svg", "text")
    with pytest.raises(RunError, match=r"other\.svg is no picture .*remove it"):
        write_page(tmp_path, study)


def test_generated_scores_say_so_at_the_top():
    text = page(fake_records.study(tasks=("rte",)))
    assert text.index("about the generated tasks") < text.index("<nav>")
