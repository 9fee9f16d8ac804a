"""The page in a real browser: it opens from its file, asks for nothing, and people who cannot see it can read it."""

import os
import shutil
from dataclasses import replace

import pytest

from kernelscope.rendering import page
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_page, full_report, with_pair

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs the extra `browser`")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run")
SIZES = {"desk": (1200, 900), "phone": (390, 844)}
A4_MINUS_MARGINS = (180 / 25.4 * 96, 267 / 25.4 * 96)  #: CSS pixels of 210 mm × 297 mm less 15 mm on each side
LONG = "runs/distilled-with-kernel-and-feature-losses-at-temperature-4-for-a-long-time/student_of_a_long_name"

pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="no chromium; set CHROMIUM to its path")]


def of_students(count: int) -> TransferReport:
    report = full_report()
    pairs = [replace(report.pairs[i % 6], student=f"{LONG}_{i}.pt") for i in range(count)]
    return TransferReport(report.meta, report.networks[:1], tuple(pairs))


def degenerate() -> TransferReport:
    return with_pair(of_students(1), 0, norm_student=0.0, transfer_loss=1.0, outputs=None, classes=None, worst=None)


PAGES = {
    "one": lambda: page.render(of_students(1)),
    "three": full_page,
    "twenty": lambda: page.render(of_students(20)),
    "degenerate": lambda: page.render(degenerate()),
}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=PAGES)
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(PAGES[request.param](), encoding="utf-8")
    return path


def opened(browser, file, size="desk", scheme="light", fragment=""):
    """The page in a context of its own, with all it said on the console and all it asked for."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("data:") else said.append(request.url))
    tab.goto(file.as_uri() + fragment)
    return tab, said


def test_a_page_opens_from_its_file_in_silence_and_its_figures_have_a_size(browser, file):
    tab, said = opened(browser, file)
    assert said == [file.as_uri()]
    sizes = tab.eval_on_selector_all("figure svg", "all => all.map(e => e.getBoundingClientRect().height)")
    assert len(sizes) >= 1 and min(sizes) > 60
    tab.context.close()


@pytest.mark.parametrize(("size", "scheme"), [("desk", "light"), ("desk", "dark"), ("phone", "light")])
def test_axe_finds_nothing_serious(browser, file, size, scheme):
    tab, _ = opened(browser, file, size, scheme)
    tab.eval_on_selector_all("details", "all => all.forEach(e => e.open = true)")
    found = axe.Axe().run(tab, {"exclude": [["svg > *"]]})["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, "\n".join(f"{each['id']}: {[n['html'][:300] for n in each['nodes'][:3]]}" for each in serious)
    tab.context.close()


def test_a_phone_scrolls_sideways_inside_tables_only(browser, file):
    tab, _ = opened(browser, file, "phone")
    tab.eval_on_selector_all("details", "all => all.forEach(e => e.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") == SIZES["phone"][0]
    tab.context.close()


def test_each_statement_fits_a_sheet_and_is_printed_alone_by_its_link(browser, file):
    tab, _ = opened(browser, file, fragment="#statement-1")
    tab.emulate_media(media="print")
    width, height = A4_MINUS_MARGINS
    tab.set_viewport_size({"width": round(width), "height": round(height)})
    seen = tab.eval_on_selector_all("main > *", "all => all.filter(e => e.getBoundingClientRect().height > 0).length")
    assert seen == 1
    tab.goto(file.as_uri())
    tab.emulate_media(media="print")
    tab.eval_on_selector_all("details", "all => all.forEach(e => e.open = true)")
    heights = tab.eval_on_selector_all(".statement", "all => all.map(e => e.getBoundingClientRect().height)")
    heading = tab.eval_on_selector("#statements h2", "e => e.getBoundingClientRect().height + 20")
    assert 0 < max(heights) + heading <= height
    tab.context.close()


def test_choosing_an_order_puts_the_classes_into_it(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(full_page(), encoding="utf-8")
    tab, _ = opened(browser, path)
    rows = "[...document.querySelectorAll('.sorted')[0].querySelectorAll('tbody tr')]"
    by_height = f"{rows}.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
    names = f"{by_height}.map(e => e.querySelector('th').textContent)"
    by_share = tab.evaluate(names)
    tab.locator("input[name=sort-1][value=class]").check()
    assert tab.evaluate(names) == [str(i) for i in range(10)] != by_share
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(names) == by_share
    tab.context.close()
