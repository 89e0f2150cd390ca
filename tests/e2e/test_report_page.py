"""The page of `hsm sync report --html` in a real browser, with runs whose names and values would like to be markup."""

from __future__ import annotations

import base64
import math
import os
import random
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import run_hsm
from tests.e2e.browser import Browser, find_browser
from tests.unit.wandb_log import log_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SWEEP = "sweep_20260101_000000"
N_RUNS = 24
HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    '<a href="http://attacker.example/">click</a>',
    "<b>bold</b> &lt;i&gt; &amp; &#60;",
    "<!-- <script>",
    '" onmouseover="window.hacked = 3',
    "javascript:window.hacked=4",
    "%{x} $\\alpha$ {{x}}",
    "line\nbreak\u2028and\u202eback \x1b[31m",
    "\udcff\ud800",
    "__proto__",
    "=1+1",
)
HOSTILE_PARAMETER = "<img src=y onerror='window.hacked = 5'>"
HOSTILE_METRIC = "val/<b>loss</b>"
LAST_LINES = ["Traceback: <script>window.hacked = 6</script>", "ValueError: \x1b[31mred\x1b[0m &amp;"]


def write_run(project: Path, number: int, config: Mapping[str, Any]) -> None:
    """Write a run with a curve; every eighth fails."""
    rng = random.Random(number)
    name = HOSTILE[number] if number < len(HOSTILE) else f"plain {number}"
    records = [make_run_record(number, name, config)]
    for step in range(30):
        loss = math.nan if number == 5 else math.exp(-step / 10) + rng.random() * (1 + number / 5)
        row = {(HOSTILE_METRIC,): loss, ("_step",): step, ("_runtime",): step * 1.5, ("text",): name[:20]}
        if number != 6:
            row["acc",] = 1 - loss / 10
        records += [log_writer.summary(row), log_writer.history(row, step)]
    records.append(log_writer.exit_code(1 if number % 8 == 7 else 0))
    run_id = f"r{number:07d}"
    folder = project / "wandb" / f"offline-run-20260101_0000{number:02d}-{run_id}"
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "output.log").write_text("\n".join(LAST_LINES) + "\n")
    log = folder / f"run-{run_id}.wandb"
    log.write_bytes(log_writer.frame(records))
    for path in (log, folder / "files" / "output.log"):
        os.utime(path, (time.time() - 3600,) * 2)


def make_run_record(number: int, name: str, config: Mapping[str, Any]) -> bytes:
    items = b"".join(log_writer.item(key, value) for key, value in config.items())
    text = name.encode("utf-8", "surrogatepass")
    field = log_writer.field
    message = field(1, f"r{number:07d}") + field(4, items) + field(6, SWEEP) + field(8, text) + field(13, "<i>node</i>")
    return log_writer.record(17, message + field(17, field(1, 1_767_225_600 + number)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with hostile runs."""
    folder = tmp_path_factory.mktemp("page") / "project"
    (folder / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    for number in range(N_RUNS):
        kind = HOSTILE[number % len(HOSTILE)].encode("utf-8", "replace").decode()
        rate = 10.0 ** -(number % 4 + 1)
        write_run(folder, number, {"lr": rate, "width": 2 ** (number % 5), "kind": kind, HOSTILE_PARAMETER: number % 3})
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser for all tests."""
    with start_browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def start_browser(folder: Path) -> Browser:
    program = find_browser()
    if program is None:
        pytest.skip("there is no Chromium")
    return Browser(program, folder / "profile")


@pytest.fixture(scope="module")
def page(project: Path, browser: Browser) -> Browser:
    """Return the browser with the report's page open; a test leaves it as it was."""
    pytest.importorskip("plotly")
    file = project / "report.html"
    completed = run_hsm("sync", "report", "latest", "--metric", HOSTILE_METRIC, "--html", file, cwd=project)
    assert completed.returncode == 0, completed.stderr
    browser.open(file)
    browser.wait("document.querySelectorAll('#parallel-plot .axis-title').length === 5")
    return browser


def read_column(page: Browser, name: str) -> list[str]:
    """The texts of a column, from above to below."""
    names = page.run("[...document.querySelectorAll('#table th')].map(head => head.textContent)")
    place = names.index(name) + 1
    texts: list[str] = page.run(
        f"[...document.querySelectorAll('#table tbody td:nth-child({place})')].map(cell => cell.textContent)"
    )
    return texts


def click(page: Browser, name: str) -> None:
    """Click on a column's name."""
    page.run(
        f"[...document.querySelectorAll('#table th button')].find(button => button.textContent === {name!r}).click()"
    )


def type_filter(page: Browser, text: str) -> None:
    page.run(
        "(() => { const input = document.getElementById('filter');"
        f" input.value = {text!r}; input.dispatchEvent(new Event('input')); }})()"
    )


def test_the_file_has_no_more_markup_than_its_own(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    file = tmp_path / "report.html"
    completed = run_hsm("sync", "report", "latest", "--metric", HOSTILE_METRIC, "--html", file, cwd=project)
    assert completed.returncode == 0, completed.stderr
    tags = Tags()
    tags.feed(file.read_text("utf-8"))
    assert tags.counted["script"] == 3
    assert not tags.counted.keys() & {"a", "b", "embed", "i", "iframe", "img", "link", "object"}


class Tags(HTMLParser):
    """Counts the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.counted[tag] += 1


@pytest.mark.slow
def test_the_page_opens_without_a_complaint_and_without_a_network(page: Browser) -> None:
    page.run("new Promise(done => setTimeout(done, 500))")
    assert page.complaints == []
    kinds = [address.partition(":")[0] for address in page.requests]
    assert [kind for kind in kinds if kind != "data"] == ["file"]  # a picture in the page itself comes from nowhere
    assert len(page.run("[...document.scripts].map(script => script.src).join('')")) == 0


@pytest.mark.slow
def test_names_and_values_are_text(page: Browser) -> None:
    assert page.run("window.hacked") is None
    wanted = [name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for name in HOSTILE]
    found = [name.encode("utf-16", "surrogatepass") for name in read_column(page, "name")[: len(HOSTILE)]]
    assert found == [name.encode("utf-16", "surrogatepass") for name in wanted]
    assert page.run("document.querySelectorAll('img, iframe, object, embed, a[href], svg a').length") == 0
    assert page.run("document.scripts.length") == 3
    assert page.run("document.querySelectorAll('#table b, #table i, #failed script').length") == 0


@pytest.mark.slow
def test_names_are_text_in_the_plots_too(page: Browser) -> None:
    legend = page.run("[...document.querySelectorAll('#curves-plot .legendtext')].map(text => text.textContent)")
    names = set(read_column(page, "name"))
    assert len(legend) == 10
    assert {name.replace("\n", " ") for name in legend} <= {name.replace("\n", " ") for name in names}
    titles = page.run("[...document.querySelectorAll('#parallel-plot .axis-title')].map(text => text.textContent)")
    assert HOSTILE_PARAMETER in titles
    assert titles[-1] == HOSTILE_METRIC
    assert page.run("document.querySelector('#curves-plot .ytitle').textContent") == HOSTILE_METRIC
    styled = "document.querySelectorAll('svg tspan[style*=bold], svg tspan[style*=italic], svg a').length"
    assert page.run(styled) == 0


@pytest.mark.slow
def test_the_plots_are_drawn(page: Browser) -> None:
    lines = page.run(
        "[...document.querySelectorAll('#curves-plot .scatterlayer path.js-line')].map(line => line.getAttribute('d'))"
    )
    assert len(lines) == 10
    assert min(line.count("L") for line in lines) >= 10
    assert page.run("document.querySelectorAll('#importance-plot .point').length") == 4
    titles = page.run("[...document.querySelectorAll('#parallel-plot .axis-title')].map(text => text.textContent)")
    assert sorted(titles[:-1]) == sorted(["lr", "width", "kind", HOSTILE_PARAMETER])
    page.wait("document.querySelectorAll('#parallel-plot canvas').length > 0")
    assert count_coloured(page, "#parallel") > 2000


def count_coloured(page: Browser, selector: str) -> int:
    """How many of an element's pixels have a colour, which WebGL's content does not tell the page itself."""
    file = Path(os.environ["HOME"]) / "picture.png"
    deadline = time.monotonic() + 20
    while True:
        page.save_picture(file, selector=selector)
        data = base64.b64encode(file.read_bytes()).decode()
        n_coloured: int = page.run(
            "new Promise(done => { const image = new Image(); image.onload = () => {"
            " const canvas = document.createElement('canvas'); canvas.width = image.width;"
            " canvas.height = image.height; const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);"
            " const pixels = context.getImageData(0, 0, image.width, image.height).data; let n = 0;"
            " for (let i = 0; i < pixels.length; i += 4) {"
            " const [r, g, b] = pixels.subarray(i, i + 3); n += Math.max(r, g, b) - Math.min(r, g, b) > 60; }"
            f" done(n); }}; image.src = 'data:image/png;base64,{data}'; }})"
        )
        if n_coloured > 2000 or time.monotonic() > deadline:
            return n_coloured
        time.sleep(0.2)


@pytest.mark.slow
def test_a_click_sorts_numbers_by_size_and_what_is_none_last(page: Browser) -> None:
    click(page, HOSTILE_METRIC)
    rising = read_column(page, HOSTILE_METRIC)
    assert rising[-1] == "NaN"
    assert [float(text) for text in rising[:-1]] == sorted(float(text) for text in rising[:-1])
    click(page, HOSTILE_METRIC)
    falling = read_column(page, HOSTILE_METRIC)
    assert falling == [*reversed(rising[:-1]), "NaN"]
    assert page.run("document.querySelectorAll('#table th[aria-sort=descending]').length") == 1
    click(page, "acc")
    assert set(read_column(page, "acc")[-2:]) == {"", "NaN"}
    click(page, "name")
    names = [name.encode("utf-16-be", "surrogatepass") for name in read_column(page, "name")]
    assert names == sorted(names)
    click(page, "id")
    assert read_column(page, "id") == sorted(read_column(page, "id"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        pytest.param("plain", lambda number: number >= len(HOSTILE), id="a word in any cell"),
        pytest.param("PLAIN", lambda number: number >= len(HOSTILE), id="whatever its case"),
        pytest.param("lr<0.005", lambda number: number % 4 >= 2, id="a number"),
        pytest.param("lr<=0.01 width=4", lambda number: number % 4 >= 1 and number % 5 == 2, id="all must hold"),
        pytest.param("state=failed", lambda number: number % 8 == 7, id="a text"),
        pytest.param("state!=failed", lambda number: number % 8 != 7, id="not a text"),
        pytest.param("<img", lambda number: number % len(HOSTILE) == 1, id="no column of that name"),
        pytest.param("(*[", lambda number: number < 0, id="what would be a broken pattern"),
    ],
)
def test_the_filter_keeps_rows(page: Browser, text: str, keeps: Any) -> None:
    type_filter(page, text)
    wanted = [f"r{number:07d}" for number in range(N_RUNS) if keeps(number)]
    assert read_column(page, "id") == wanted
    assert page.run("document.getElementById('shown').textContent") == f"{len(wanted)} of {N_RUNS} runs"
    drawn = [number for number in range(N_RUNS) if keeps(number) and number != 5]
    page.wait(f"document.querySelector('#parallel .note').textContent.includes(' {len(drawn)} of {N_RUNS - 1} lines')")
    type_filter(page, "")
    assert len(read_column(page, "id")) == N_RUNS
    assert page.complaints == []


@pytest.mark.slow
def test_failed_runs_have_their_last_lines(page: Browser) -> None:
    runs = page.run("[...document.querySelectorAll('#failed details pre')].map(lines => lines.textContent)")
    assert runs == ["\n".join([LAST_LINES[0], "ValueError: red &amp;"])] * 3
    titles = page.run("[...document.querySelectorAll('#failed summary')].map(title => title.textContent)")
    assert all("failed, exit code 1" in title and "<i>node</i>" in title for title in titles)


@pytest.mark.slow
def test_no_button_leads_to_anywhere(page: Browser) -> None:
    buttons = page.run(
        "[...document.querySelectorAll('.modebar-btn')].map(button => button.getAttribute('data-title'))"
    )
    assert len(buttons) == 6
    assert not any("loud" in button or "tudio" in button for button in buttons)
    assert page.run("document.querySelectorAll('.plotlyjsicon, .modebar a[href]').length") == 0


@pytest.mark.slow
def test_the_policy_refuses_connections_and_foreign_scripts(page: Browser) -> None:
    """So that a test that sees no request would see one that was tried."""
    refused = "fetch('http://attacker.example/').then(() => 'sent', () => 'refused')"
    assert page.run(refused) == "refused"
    page.run(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.hacked = 7';"
        " script.id = 'foreign'; document.body.append(script); })()"
    )
    assert page.run("window.hacked") is None
    page.run("document.getElementById('foreign').remove()")
    assert len(page.complaints) >= 2
    page.complaints.clear()


@pytest.mark.slow
def test_a_sweep_with_nothing_to_draw_has_a_page_too(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    (tmp_path / "project" / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    file = tmp_path / "empty.html"
    completed = run_hsm("sync", "report", "latest", "--html", file, cwd=tmp_path / "project")
    assert completed.returncode == 0, completed.stderr
    with start_browser(tmp_path) as browser:
        browser.open(file)
        assert browser.run("[...document.querySelectorAll('section')].map(one => one.id)") == ["runs"]
        assert browser.complaints == []
