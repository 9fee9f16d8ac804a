"""The page: one file, no script, no network, every name inert, every number there."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kernelscope.rendering import page
from kernelscope.rendering.difference_ends import difference_ends
from kernelscope.report.digits import loss_in_digits, number, percent
from kernelscope.report.fields import Warning
from kernelscope.report.report import TransferReport
from kernelscope.report.verdict import sentence, verdict
from tests.report.sample_reports import ORDER, THUMBNAIL, bare_report, full_page, full_report, renamed, with_pair

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
REPORTS = {"full": full_report(), "bare": bare_report(), "empty": TransferReport({}, (), ())}


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains of tags that do not balance."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def whole() -> str:
    return full_page()


@pytest.fixture(scope="module")
def hostile() -> str:
    names = {"out/ce.pt": EVIL, "out/kd.pt": "javascript:alert(3)//{{ 7*7 }}", "out/teacher.pt": "</main>"}
    said = {"warnings": (Warning("x", EVIL),), "notes": (EVIL,), "split": EVIL, "route": EVIL, "student_layer": EVIL}
    report = with_pair(renamed(full_report(), names), 0, **said)
    return page.render(TransferReport({**report.meta, "created": EVIL, "device": EVIL}, report.networks, report.pairs))


def assert_sound(parsed: Page) -> None:
    assert not parsed.unclosed
    assert not parsed.open
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(parsed.tags)
    sources = [value for key, value in parsed.attributes if key == "src"]
    assert parsed.tags.count("img") == len(sources)
    assert all(re.fullmatch("data:image/png;base64,[A-Za-z0-9+/=]+", source) for source in sources)
    assert not [key for key, _ in parsed.attributes if key.startswith("on")]


def test_tags_balance_and_there_is_no_script(whole):
    assert_sound(Page(whole))


@pytest.mark.parametrize("name", REPORTS)
def test_tags_balance_in_a_notebook(name):
    assert_sound(Page(page.notebook(REPORTS[name])))


def test_nothing_is_fetched_from_anywhere(whole):
    for key, value in Page(whole).attributes:
        if key in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            assert value.startswith(("#", "data:")), (key, value)
    assert not re.findall(r"url\((?!#)", whole)
    assert "@import" not in whole


def test_the_content_policy_forbids_all_but_inline_styles_and_data_images(whole):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)[1]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert whole.index("Content-Security-Policy") < whole.index("<style")


def test_hostile_names_are_text(hostile):
    parsed = Page(hostile)
    assert_sound(parsed)
    assert "alert(2)" in parsed.text
    assert "{{ 7*7 }}" in parsed.text
    assert "javascript" not in " ".join(value or "" for key, value in parsed.attributes if key == "href")


def test_ends_of_eigenvectors_are_shown_with_their_share_and_thumbnails(whole):
    section = whole.split("What carries the difference</h2>")[1].split("</section>")[0]
    text = Page(section).text
    assert text.count("Similarity lost, 81.0% of the squared difference row 3 (3) row 4 (4)") == len(full_report()) // 2
    assert "Similarity added, 4.0% of the squared difference, in 2 directions that rounding does not tell" in text
    assert section.count(f'src="{THUMBNAIL}"') == 12 * len(full_report()) // 2
    assert section.count(">against<") == len(full_report()) // 2  # a space has one end


def test_the_worst_examples_are_shown_with_their_share_and_thumbnails(whole):
    section = whole.split("Examples whose rows carry most")[1].split("</section>")[0]
    assert Page(section).text.count("row 7 (1), 2.0%") == section.count("<ul") == len(full_report()) // 2
    assert section.count(f'src="{THUMBNAIL}"') == 8 * len(full_report()) // 2


@pytest.mark.parametrize(
    "thumbnail",
    [
        "data:text/html;base64,AAAA",
        "https://example.org/x.png",
        f"{THUMBNAIL}{EVIL}",
        f"{THUMBNAIL[:-1]}{'A' * 20_000}",
    ],
)
def test_a_thumbnail_that_is_none_is_left_out(thumbnail):
    lost, added = full_report().pairs[0].difference_eigenvectors
    positive = tuple(replace(each, thumbnail=thumbnail, label=EVIL) for each in lost.positive)
    ends = difference_ends(
        with_pair(full_report(), 0, difference_eigenvectors=(replace(lost, positive=positive), added))
    )
    assert [each["thumbnail"] for each in ends[0]["vectors"][0]["ends"][0]] == [None] * 4
    assert [each["thumbnail"] for each in ends[0]["vectors"][0]["ends"][1]] == [THUMBNAIL] * 4


def test_a_long_name_may_break_behind_its_separators_only():
    report = renamed(full_report(), {"out/ce.pt": "student_of_a_long_name_at.temperature-4"})
    assert "student_<wbr>of_<wbr>a_<wbr>long_<wbr>name_<wbr>at.<wbr>temperature-<wbr>4</th>" in page.notebook(report)


def test_hostile_names_are_text_in_a_notebook():
    report = renamed(full_report(), {"out/ce.pt": "<script>alert(1)<\\script>"})
    parsed = Page(page.notebook(report))
    assert "script" not in parsed.tags
    assert "<script>alert(1)<\\script>" in parsed.text


def test_every_number_of_the_table_is_on_the_page(whole):
    text = Page(whole).text
    for pair in full_report():
        values = [loss_in_digits(pair), *map(number, (pair.ladder.scaled, pair.ladder.head, pair.ladder.width_floor))]
        values += [number(pair.null.transfer_loss), number(pair.cka)]
        assert all(value in text for value in values)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", whole.split("How to read it")[0], flags=re.DOTALL)[1:]
    for row, pair in zip(rows, full_report(), strict=True):
        cells = {label: re.sub(r"<[^>]+>", "", cell) for label, cell in re.findall(r'label="(.*?)".*?>(.*?)</td>', row)}
        network = next(n for n in full_report().networks if n.name == pair.student)
        low, high = pair.sampling_interval
        expected = {
            "loss": loss_in_digits(pair),
            "95% over examples": f"{low:.3f} to {high:.3f}",
            "after best scalar": number(pair.ladder.scaled),
            "after linear head": number(pair.ladder.head),
            "width floor": number(pair.ladder.width_floor),
            "chance": number(pair.null.transfer_loss),
            "CKA": number(pair.cka),
            "kNN overlap": number(pair.neighbours.overlap, 2),
            "top-1": percent(network.top1),
        }
        assert {label: cells[label] for label in expected} == expected
        assert f">{pair.student.removeprefix('out/')}</th>" in row
        assert f">{pair.student_layer}</td>" in row


def test_the_answer_comes_first_and_the_fingerprint_last(whole):
    order = [
        "How much of the teacher&#39;s kernel did", "What was measured", "Distillation Loss Statement", "The numbers",
        "How to read it",
        "Where the teacher&#39;s kernel goes", "What carries the difference", "The landmarks&#39; own kernel",
        "The paper&#39;s theory",
        "How they were trained", "Warnings and notes", "Fingerprint", ORDER,
    ]  # fmt: skip
    places = [whole.index(words, whole.index("<h1>")) for words in order]
    assert places == sorted(places)


def test_every_student_has_its_sentence(whole):
    text = Page(whole).text
    for pair in full_report().pairs[::2]:
        sentence = verdict(pair)
        assert sentence[0].upper() + sentence[1:] + "." in text


def test_the_page_says_what_was_measured_and_with_what(whole):
    text = Page(whole).text
    for fact in (
        "teacher.pt (resnet20, top-1 98.7%)", "digits/test, 450 examples", "class-means (10)", "all 6 losses resolved",
        "all 6 intervals proved", "2026-03-14 15:09 UTC on cpu", "kernelscope 0.1.0", "1" * 64, "4" * 64, "seed 0",
    ):  # fmt: skip
        assert fact in text


def test_every_answer_leads_to_its_statement(whole):
    for place, pair in enumerate(full_report().pairs[::2], start=1):
        name = pair.student.removeprefix("out/")
        assert f'<a href="#statement-{place}">What it kept and lost<span class="unseen">: {name}<' in whole
        assert name in whole.split(f'id="statement-{place}"')[0].rsplit("<summary>", 1)[1]


def test_ids_are_unique_over_the_whole_page(whole):
    ids = [value for key, value in Page(whole).attributes if key == "id"]
    assert len(ids) > 50
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', whole)) <= set(ids)


def test_the_figures_of_every_section_are_there(whole):
    """``full_report`` has everything but a grid of layers."""
    drawn = Counter(kind for kind, _ in set(re.findall(r'id="ks-([a-z0-9_]+)-(\d+)-', whole)))
    expected = {"ladder": 4, "neighbours": 2, "spectra": 3, "classes": 3, "landmark_spectrum": 2, "theorem2": 1}
    expected |= {"bounds": 1, "anova": 1, "training": 2, "trajectory": 7, "references": 3, "layers": 0}
    assert {kind: drawn[kind] for kind in expected} == expected
    assert whole.count("<svg") == whole.count("<figure>") == drawn.total()
    assert Page(whole).text.count("What is left of the loss") == 4


def test_a_bare_report_has_no_empty_section():
    parsed = Page(page.render(bare_report()))
    assert_sound(parsed)
    assert "0.188" in parsed.text
    for heading in ("own kernel", "The paper's theory", "How they were trained", "Warnings", "Fingerprint"):
        assert heading not in parsed.text


def test_a_report_of_no_pairs_is_still_a_page():
    parsed = Page(page.render(REPORTS["empty"]))
    assert_sound(parsed)
    assert "No pair was measured" in parsed.text
    assert "No pairs were measured" in Page(page.notebook(REPORTS["empty"])).text


def test_an_unresolved_loss_is_shown_as_its_interval_alone():
    report = with_pair(bare_report(), 0, resolved=False, rounding_interval=(1.234e-12, 4.56e-9))
    text = Page(page.render(report)).text
    assert "1.2e-12 to 4.6e-9 transfer loss" in text
    assert "not resolved" in text


def test_a_warning_is_announced_at_the_top_and_said_below(whole):
    assert '<a href="#warnings">1 warning</a>' in whole
    assert "450 examples for 64 features" in Page(whole).text
    assert 'href="#warnings"' not in page.render(bare_report())


def test_a_page_is_the_same_every_time():
    report = full_report()
    short = TransferReport(report.meta, (), report.pairs[:1])
    assert page.render(short) == page.render(short)


def test_dark_light_paper_and_phone_are_thought_of(whole):
    assert "@media screen and (prefers-color-scheme:dark)" in whole
    assert "@media print" in whole
    assert "max-width:44rem" in whole
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in whole


def test_the_notebooks_styles_reach_nothing_else():
    style = re.search(r"<style>(.*?)</style>", page.notebook(full_report()), flags=re.DOTALL)[1]
    selectors = [rule.split("{")[0].strip() for rule in style.split("}") if rule.strip()]
    assert all(selector.startswith(".kernelscope-report") for selector in selectors)


def test_the_notebook_holds_table_verdicts_and_warnings():
    text = Page(page.notebook(full_report())).text
    assert "0.753" in text
    said = sentence(full_report().pairs[0])
    assert f"ce.pt, embedding: {said[0].upper()}{said[1:]}" in text
    assert "Warning (ce.pt logits" in text
    assert full_report()._repr_html_() == page.notebook(full_report())


def test_many_students_and_layers_keep_the_page_readable():
    report = bare_report()
    pairs = tuple(
        with_pair(report, 0, student=f"s{i}.pt", student_layer=f"layer{j}").pairs[0] for i in range(8) for j in range(6)
    )
    rendered = page.render(TransferReport(report.meta, report.networks, pairs))
    assert "did 8 students inherit?" in Page(rendered).text
    assert "Figures show the first 6 of 8 students." in Page(rendered).text
    assert rendered.count("<svg") == 7
    assert len(re.findall("<tbody>.*?</tbody>", rendered, flags=re.DOTALL)[0].split("<tr")) == 49
