"""The page against the table: every number in it, every plotted point, and what it must not do."""

import base64
import dataclasses
import html.parser
import re
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from collections import Counter

import numpy as np
import pytest

from tests.evaluation.cases import regressor
from uncertain import families
from uncertain.evaluation import evaluate
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import curves, png, render_report, write_report
from uncertain.evaluation.report.glossary import GLOSSARY
from uncertain.evaluation.report.html import clean, element
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.mistakes import confident_mistakes
from uncertain.evaluation.report.tables import summary
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_order import METRICS
from uncertain.families import ArrayDistribution

N, C = 1000, 5
HOSTILE = (
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "]]></style><b>",
    "\u202eleft\u202c שלום عربى", "x" * 4000, "../../etc/passwd", "a\x00b\x1b[31m", "\ud800 lone",
    "&amp; &#60;", "${1+1} {{7*7}} %s",
)  # fmt: skip


def class_predictions(source, sharp, seed, *, split="test", skill=2.0, inputs=None, names=None):
    rng = np.random.default_rng(seed)
    y = np.random.default_rng(99).integers(0, C, N)
    z = rng.normal(size=(N, C))
    z[np.arange(N), y] += 0 if split.startswith("ood") else skill
    z = sharp * z
    logits = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    ids = np.arange(N) + (10**6 if split.startswith("ood") else 0)
    control = rng.normal(3.0 if split == "ood:odd" else 0.0, 1, N)
    return Predictions(
        ArrayDistribution("categorical", {"logits": logits}),
        None if split.startswith("ood") else y,
        row_ids=ids,
        class_names=names,
        source=source,
        split=split,
        scores={"control:mean": control},
        inputs=inputs,
    )


def value_predictions(source, scale, seed):
    rng = np.random.default_rng(seed)
    y = np.random.default_rng(98).normal(size=N)
    d = ArrayDistribution("normal", {"loc": y + rng.normal(size=N), "scale": np.full(N, scale)})
    return Predictions(d, y, row_ids=np.arange(N), source=source, task="values")


@pytest.fixture(scope="module")
def judged():
    cases = []
    for source, sharp in (("mild", 1.0), ("bold", 2.5)):
        cases.append(class_predictions(source, sharp, 1))
        cases += [
            class_predictions(source, sharp, 2 + s, split=f"shift:blur:{s}", skill=2.0 - 0.4 * s)
            for s in (1, 3)
        ]
        cases.append(class_predictions(source, sharp, 7, split="ood:odd"))
    cases += [value_predictions("narrow", 0.5, 3), value_predictions("fair", 1.0, 4)]
    results = evaluate(cases, replicates=100, command="uncertain evaluate 'a b.npz' --out r.html")
    cost = [Row("train_seconds", v, source=s) for s, v in (("mild", 2.0), ("bold", 31.0))]
    return results + Results(cost), cases


@pytest.fixture(scope="module")
def page(judged):
    return render_report(*judged, title="A <test> & more")


class Reader(html.parser.HTMLParser):
    """Collects elements, and fails where tags don't close in order."""

    VOID = frozenset({"meta", "img", "br", "hr"})

    def __init__(self, page):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def having(self, key, value=None):
        found = [a for _, a in self.elements if key in a]
        return [a for a in found if value is None or a[key] == value]


def floats(words):
    return np.array([float(word) for word in words.split()])


def rows_by_name(results):
    key = ("metric", "variant", "split", "source", "kind", "other", "task", "training", "over")
    return {tuple(getattr(row, k) for k in key): row for row in results.rows}


def row_of(attributes, rows):
    key = [attributes.get(f"data-{k}", "") for k in ("metric", "variant", "split", "source")]
    more = [attributes.get(f"data-{k}", "") for k in ("kind", "other", "task", "training", "over")]
    return rows[tuple(key + more)]


def test_every_number_in_the_page_is_the_tables(judged, page):
    rows = rows_by_name(judged[0])
    cells = [a for a in Reader(page).having("data-metric") if "data-kind" in a]
    assert len(cells) > len(rows)
    for cell in cells:
        row = row_of(cell, rows)
        for name in ("value", "low", "high"):
            if f"data-{name}" in cell:
                assert float(cell[f"data-{name}"]) == getattr(row, name)
            else:
                assert np.isnan(getattr(row, name))
        assert int(cell["data-n"]) == row.n


def test_every_row_of_the_table_is_in_the_page(judged, page):
    rows = rows_by_name(judged[0])
    shown = {id(row_of(a, rows)) for a in Reader(page).having("data-kind")}
    assert shown == {id(row) for row in rows.values()}


def test_shown_text_agrees_with_the_numbers(judged, page):
    table = page[page.index('id="all-figures"') :]
    cells = re.findall(r'<td class="n"[^>]*data-value="([^"]+)"[^>]*>([^<]+)</td>', table)
    assert len(cells) > 50
    for value, shown in cells:
        number = float(shown.replace("\N{MINUS SIGN}", "-").replace(",", ""))
        assert number == pytest.approx(float(value), rel=0.06, abs=1e-6)


def area(attributes):
    return np.trapezoid(floats(attributes["data-y"]), floats(attributes["data-x"]))


@pytest.mark.parametrize("plot", ["roc", "risk-coverage"])
def test_the_area_under_a_curve_is_the_row(judged, page, plot):
    drawn = Reader(page).having("data-plot", plot)
    assert len(drawn) == (4 if plot == "roc" else 2)
    for line in drawn:
        row = judged[0].select(
            metric=line["data-metric"], variant=line["data-variant"], source=line["data-source"],
            split=line["data-split"], kind="estimate",
        ).rows[0]  # fmt: skip
        assert float(line["data-value"]) == row.value
        assert area(line) == pytest.approx(row.value, abs=1e-3)
        x = floats(line["data-x"])
        assert x[0] == 0
        assert x[-1] == 1
        assert np.all(np.diff(x) >= 0)
        assert len(line["points"].split()) == len(x)


def test_ties_are_drawn_as_expected_risk():
    scores, wrong = np.array([0.0] * 50 + [1.0] * 50), np.arange(100) % 4 == 0
    x, y = curves.risk_coverage(scores, wrong, None, most=1000)
    expected = curves.rank_curve(scores, wrong)
    assert np.trapezoid(y, x) == pytest.approx(curves_area(expected), abs=2e-3)


def curves_area(curve):
    from uncertain.evaluation.ranking import area_under_risk_coverage

    return area_under_risk_coverage(curve)


def test_the_bins_weigh_to_the_ece(judged, page):
    dots = [a for a in Reader(page).having("data-plot", "reliability") if "data-share" in a]
    for source in ("mild", "bold"):
        mine = [a for a in dots if a["data-source"] == source]
        gaps = [abs(float(a["data-x"]) - float(a["data-y"])) for a in mine]
        shares = [float(a["data-share"]) for a in mine]
        row = judged[0].select(
            metric="ece", variant="equal_width,15,l1,top_label", source=source, split="test"
        ).rows[0]  # fmt: skip
        assert np.dot(gaps, shares) == pytest.approx(row.value, abs=1e-12)
        assert sum(int(a["data-n"]) for a in mine) == N


def test_the_null_band_holds_a_calibrated_model():
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.ones(C), size=20_000)
    y = (p.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), y)
    found = curves.top_label(case, p)
    assert found.outside <= 2
    assert found.confidence == pytest.approx(p.max(axis=1).mean(), abs=1e-12)


def test_the_pit_bars_are_the_histogram(judged, page):
    bars = Reader(page).having("data-plot", "pit")
    for case in judged[1]:
        if case.task != "values":
            continue
        mine = [a for a in bars if a["data-source"] == case.source]
        values = families.pit(case.distribution, case.target)
        expected, _ = np.histogram(values, bins=20, range=(0, 1), density=True)
        assert [float(a["data-y"]) for a in mine] == pytest.approx(expected.tolist(), abs=1e-12)


def test_shift_dots_are_rows(judged, page):
    dots = [a for a in Reader(page).having("data-plot", "shift") if "data-severity" in a]
    assert {a["data-severity"] for a in dots} == {"0.0", "1.0", "3.0"}
    for dot in dots:
        row = judged[0].select(
            metric=dot["data-metric"], split=dot["data-split"], source=dot["data-source"],
            variant=dot.get("data-variant", ""), kind="estimate",
        ).rows[0]  # fmt: skip
        assert float(dot["data-y"]) == row.value


def test_comparison_dots_are_differences(judged, page):
    section = page[page.index('id="comparison"') : page.index('id="cost"')]
    dots = {float(x) for x in re.findall(r'<circle class="dot[^>]*data-x="([^"]+)"', section)}
    differences = {r.value for r in judged[0].select(kind="difference", split="test")}
    assert dots
    assert dots <= differences


def test_trivial_pairs_are_marked(page):
    block = page[page.index('data-ood="odd"') :][:300]
    assert 'class="tag">trivial<' in block


def test_the_answers_stand_first(page):
    words = " ".join(Reader(page).words)
    first = words.index("What was judged")
    assert (
        first < words.index("How far can the probabilities be trusted?") < words.index("Figures on")
    )
    assert "Over-confident" in words
    assert "uncertain evaluate 'a b.npz' --out r.html" in words


def test_missing_numbers_are_said_not_written(judged):
    results = judged[0] + Results(
        [Row("aurc", float("nan"), source="mild", task="void", kind="undefined", reason="no <rows>"),
         Row("nll", float("inf"), source="bold", task="void", reason="2 rows have probability 0")]
    )  # fmt: skip
    page = render_report(results, judged[1], title="t")
    assert "no &lt;rows&gt;" in page
    assert "∞" in page
    assert not re.search(r'="(nan|NaN)"|>nan<', page)


def test_no_script_and_nothing_from_elsewhere(page):
    reader = Reader(page)
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in reader.elements:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert attributes.get(key, "#")[:1] == "#" or attributes[key].startswith(
                "data:image/png"
            )
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert "url(" not in page


def test_every_drawing_is_xml_with_words(page):
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) > 10
    named = 0
    for drawing in drawings:
        root = ET.fromstring(drawing)
        if root.get("aria-hidden") == "true":
            continue
        named += 1
        assert root.get("role") == "img"
        for identifier in root.get("aria-labelledby").split():
            found = [e for e in root.iter() if e.get("id") == identifier]
            assert len(found) == 1
            assert re.search(r"\d", found[0].text) or "title" in found[0].tag
        words = " ".join(e.text or "" for e in root if e.get("id", "").startswith(root.get("id")))
        assert re.search(r"\d", words), words
    assert named > 10


def test_identifiers_are_unique_and_links_lead_somewhere(page):
    reader = Reader(page)
    identifiers = Counter(a["id"] for a in reader.having("id"))
    assert max(identifiers.values()) == 1
    for attributes in reader.having("href"):
        assert attributes["href"].removeprefix("#") in identifiers
    for attributes in reader.having("aria-labelledby"):
        assert set(attributes["aria-labelledby"].split()) <= set(identifiers)


def hostile_report():
    names = HOSTILE[:C]
    cases = [class_predictions(name, 1.0 + i, i, names=names) for i, name in enumerate(HOSTILE)]
    cases += [class_predictions(HOSTILE[0], 1.0, 50, split=f"ood:{HOSTILE[1]}")]
    cases = [Predictions(**{**fields(c), "task": HOSTILE[2]}) for c in cases]
    shown = {int(i): HOSTILE[i % len(HOSTILE)] for i in cases[0].row_ids}
    cases[0] = Predictions(**{**fields(cases[0]), "inputs": shown})
    results = evaluate(cases, replicates=100, compare=False, command=" ".join(HOSTILE))
    return render_report(results, cases, title=HOSTILE[0], command=" ".join(HOSTILE))


def fields(case):
    return {name: getattr(case, name) for name in Predictions.__dataclass_fields__}


def test_hostile_names_stay_text():
    page = hostile_report()
    page.encode("utf-8")
    reader = Reader(page)
    assert "script" not in {tag for tag, _ in reader.elements}
    images = [a for tag, a in reader.elements if tag == "img"]
    assert all(a["src"].startswith("data:image/png") for a in images)
    assert not any(key.startswith("on") for _, a in reader.elements for key in a)
    assert "<script>" not in page
    assert page.count("</style>") == 1
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(drawing)
    # Only the command is kept long: it is there to be copied.
    assert "x" * 300 not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    assert "<bdi>\u202eleft\u202c שלום عربى</bdi>" in page


def test_attributes_are_escaped_and_exact():
    assert (
        element("td", "", {"data-value": 0.1 + 0.2}) == '<td data-value="0.30000000000000004"></td>'
    )
    assert clean("a\ud800b") == "a\ufffdb"
    assert len(clean("é" * 500)) == 120


def colours(css, scheme):
    """Return the variables of a scheme: the first block is light, the dark one overrides it."""
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    chosen = {"light": blocks[:1], "dark": blocks[:2], "print": [blocks[0], blocks[2]]}[scheme]
    found = {}
    for block in chosen:
        found |= dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,8})\b", block))
    return found


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits[:6]
    parts = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast(page, scheme):
    found = colours(page, scheme)
    for ground in ("paper", "sheet"):
        for ink in ("ink", "soft", "accent", "warn", "good"):
            assert contrast(found[ink], found[ground]) >= 4.5, (ink, ground)
        # WCAG 1.4.11 asks 3 of graphics; ours could be text.
        for series in range(8):
            assert contrast(found[f"s{series}"], found[ground]) >= 4.5, (series, ground)
    assert contrast(found["warn"], found["warn-paper"]) >= 4.5


def test_contrast_formula_is_the_standards():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)


def decode(uri):
    """Return the pixels of one of our own PNG files, by the standard's words."""
    data = base64.b64decode(uri.partition(",")[2])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert depth == 8
    channels = {0: 1, 2: 3, 6: 4}[colour]
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    raw = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + length]), np.uint8)
    rows = raw.reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


def test_images_are_joined_by_row_id_not_position():
    rng = np.random.default_rng(0)
    images = {i: rng.integers(0, 256, (6, 7), dtype=np.uint8) for i in range(N)}
    whole = class_predictions("net", 2.0, 1, inputs=images)
    shuffled = whole.select(rng.permutation(N))
    pages = [
        render_report(evaluate(p, replicates=100), [p], title="t") for p in (whole, shuffled)
    ]  # fmt: skip
    found = []
    for page in pages:
        tiles = re.findall(r'data-row-id="(\d+)">\s*<img src="([^"]+)"', page)
        assert len(tiles) == 12
        for identity, uri in tiles:
            assert np.array_equal(decode(uri)[:, :, 0], images[int(identity)])
        found.append(tiles)
    assert found[0] == found[1]


def test_mistakes_are_the_most_confident_ones():
    case = class_predictions("net", 2.0, 1)
    p = families.class_probabilities(case.distribution)
    rows = confident_mistakes(case, p)
    wrong = p.argmax(axis=1) != case.target
    assert wrong[rows].all()
    assert sorted(p[wrong].max(axis=1))[-12:] == pytest.approx(sorted(p[rows].max(axis=1)))


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (8, 9, 4), (3, 8, 9), (1, 8, 9)])
def test_png_agrees_with_another_reader(shape):
    image = pytest.importorskip("PIL.Image")
    import io

    value = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    pixels = png.as_pixels(value)
    assert pixels.shape[:2] == (8, 9)
    read = np.asarray(image.open(io.BytesIO(png.encode(pixels))))
    assert np.array_equal(read.reshape(pixels.shape), pixels)


def test_pixels_of_floats_and_large_images():
    assert png.as_pixels(np.array([[0.0, 1.0], [0.5, 0.25]]))[:, :, 0].tolist() == [
        [0, 255],
        [128, 64],
    ]
    assert png.as_pixels(np.array([[-3.0, 1.0], [1.0, -3.0]])).ravel().tolist() == [0, 255, 255, 0]
    assert png.as_pixels(np.full((3, 500, 400), 7, np.uint8)).shape == (83, 66, 3)
    assert png.as_pixels(np.zeros((5, 6, 7, 8))) is None
    assert png.as_pixels(np.zeros((5, 6, 7))) is None
    assert png.as_pixels(np.array([[np.nan, 1.0], [0.0, 1.0]])) is not None


def test_every_usual_metric_is_explained():
    assert set(METRICS) <= set(GLOSSARY)
    for metric, entry in GLOSSARY.items():
        assert entry.label
        assert entry.meaning.endswith("."), metric


def test_a_table_alone_gives_a_page(tmp_path):
    results = Results([Row("accuracy", 0.9, 0.88, 0.92, source="net", n=900)])
    write_report(results, [], tmp_path / "r.html", title="t")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    Reader(page)
    assert "[0.880, 0.920]" in page


def test_nothing_gives_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"`results` should have at least one row, got none: eval"):
        write_report(Results([]), [], tmp_path / "r.html", title="t")
    assert list(tmp_path.iterdir()) == []


def test_the_same_judgement_gives_the_same_page(judged, page):
    results, cases = judged
    assert render_report(results, cases[::-1], title="A <test> & more") == page


@pytest.mark.slow
def test_a_million_rows_stay_small_and_true():
    rng = np.random.default_rng(0)
    n = 1_000_000
    p = rng.dirichlet(np.full(10, 0.3), size=n)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), y, row_ids=np.arange(n))
    wrong, score = p.argmax(axis=1) != y, 1 - p.max(axis=1)
    curve = curves.rank_curve(score, wrong)
    from uncertain.evaluation.ranking import area_under_roc

    rows = [
        Row("auroc", area_under_roc(curve), variant="error:msp", n=n),
        Row("aurc", curves_area(curve), variant="error:msp", n=n),
    ]
    page = render_report(Results(rows), [case], title="t")
    assert len(page.encode()) < 3_000_000
    for line in Reader(page).having("data-value"):
        if line.get("data-plot") in ("roc", "risk-coverage"):
            assert area(line) == pytest.approx(float(line["data-value"]), abs=2e-4)


def test_many_models_and_figures_stay_small():
    metrics = ("accuracy", "nll", "brier", "ece", "ece_debiased")
    rows = [
        Row(m, 0.5, 0.4, 0.6, source=f"model-{i}", training=str(t), task=f"task-{k}", n=10)
        for m in metrics for i in range(10) for t in range(5) for k in range(9)
    ]  # fmt: skip
    page = render_report(Results(rows), [], title="t")
    assert len(page.encode()) < 3_000_000
    assert "250 more are in the results file" in page


@pytest.mark.data
def test_two_recorded_networks_cost_little(data_dir):
    names = ("wideresnet-16-4-cifar-10.npz", "lenet-5-cifar-10.npz")
    folder = data_dir(*names)
    cases = []
    for name in names:
        file = np.load(folder / name)
        d = ArrayDistribution("categorical", {"probs": file["predictions"]})
        cases.append(Predictions(d, file["ground_truth"].ravel(), source=name))
    results = evaluate(cases, replicates=100)
    costs = []
    for _ in range(3):
        start = time.process_time()
        page = render_report(results, cases, title="CIFAR-10")
        costs.append(time.process_time() - start)
    assert min(costs) < 2  # 0.3 s alone; this machine may be busy
    Reader(page)
    dots = [a for a in Reader(page).having("data-plot", "reliability") if "data-share" in a]
    for name in names:
        mine = [a for a in dots if a["data-source"] == name]
        ece = sum(
            float(a["data-share"]) * abs(float(a["data-x"]) - float(a["data-y"])) for a in mine
        )
        row = results.select(
            metric="ece", source=name, variant="equal_width,15,l1,top_label"
        ).rows[0]  # fmt: skip
        assert ece == pytest.approx(row.value, abs=1e-12)


def test_nothing_heavy_is_imported(tmp_path):
    code = f"""
import sys, numpy as np
from uncertain.evaluation import Predictions, Results, Row, write_report
from uncertain.families import ArrayDistribution
p = np.array([[.9, .1], [.2, .8], [.4, .6]])
case = Predictions(ArrayDistribution("categorical", {{"probs": p}}), np.array([0, 1, 0]))
write_report(Results([Row("accuracy", 2 / 3)]), [case], {str(tmp_path / "r.html")!r}, title="t")
heavy = {{"torch", "pandas", "matplotlib", "sklearn", "scipy.stats", "scipy.special", "PIL", "IPython"}}
found = sorted(heavy & set(sys.modules))
sys.exit(f"imported {{found}}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_subgroups_have_a_table_with_the_worst_marked():
    case = value_predictions("gp", 1.0, 0)
    site = np.repeat(["a", "<b>", "c"], [300, 300, 400])
    target = np.where(site == "<b>", case.target + 4, case.target)
    case = dataclasses.replace(case, target=target, columns={"site": site})
    results = evaluate(case, by=["site"])
    page = render_report(results, [case], title="By site")
    section = page.split('id="subgroups"')[1].split("</section>")[0]
    assert "&lt;b&gt;" in section
    assert "<b>" not in section
    marked = re.findall(r'<td[^>]*data-subgroup="([^"]*)"[^>]*><span><span class="worst">', section)
    assert set(marked) == {"site=&lt;b&gt;"}
    (worst,) = results.select(metric="crps", subgroup="worst site")
    assert f'data-low="{worst.low!r}"' in section
    # The other sections know nothing of subgroups.
    figures = page.split('id="figures"')[1].split("</section>")[0]
    assert "data-subgroup" not in figures


def test_many_subgroups_are_cut_to_the_worst():
    case = value_predictions("gp", 1.0, 0)
    case = dataclasses.replace(case, columns={"batch": np.arange(N) // 20})
    page = render_report(evaluate(case, by=["batch"]), [case], title="Batches")
    section = page.split('id="subgroups"')[1].split("</section>")[0]
    assert "10 more subgroups are in the results file." in section


def test_the_report_ranks_nothing_by_calibration():
    """The best of a proper score is bold; of a calibration error there is no best, and it says so."""
    rows = [
        Row(metric, value, value - 0.01, value + 0.01, source=source, n=100)
        for metric in ("nll", "ece_debiased")
        for source, value in (("a", 0.2), ("b", 0.3))
    ]
    html = render_report(Results.create(rows), [], title="t")
    best = re.findall(r'data-metric="(\w+)"[^>]*><span><span class="best"', html)
    assert best == ["nll"]
    assert "Calibration errors are diagnostics" in html


# Comparisons in which not every model can take part


def read(results, cases=()):
    return " ".join(" ".join(Reader(render_report(results, cases, title="t")).words).split())


def sampled(case, source, seed=0, noise=1.0):
    draws = np.random.default_rng(seed).normal(0, noise, (len(case), 20))
    samples = ArrayDistribution("empirical", {"samples": case.target[:, None] + draws})
    return dataclasses.replace(case, source=source, distribution=samples)


def test_a_model_that_takes_no_part_leaves_the_others_compared():
    reg, narrow = regressor(source="reg"), regressor(source="reg-narrow", seed=1)
    cases = [reg, narrow, sampled(reg, "samples", noise=0.01)]
    results = Results(evaluate(cases, replicates=100).select(metric=["crps", "nll", "rmse"]).rows)
    words = read(results)
    assert "Not compared." not in words
    assert "reg − reg-narrow" in words
    assert "Not compared with these: samples ." in words
    # The smallest CRPS is that of samples, another quantity: it is not the best of the column.
    crps = {r.source: r.value for r in results.select(metric="crps", kind="estimate")}
    assert crps["samples"] < min(crps["reg"], crps["reg-narrow"])
    table = summary(Material(results, []), "", "test")
    cells = [cell for cell in table.split("<td")[1:] if 'data-metric="crps"' in cell]
    best = [cell for cell in cells if 'class="best"' in cell]
    assert len(best) == 1
    assert "data-variant" not in best[0]
    assert ["<small>ecdf</small>" in cell for cell in cells] == [False, False, True]
    assert table.count("ecdf") == 2


def test_a_page_says_why_nothing_was_compared():
    rows = [Row("nll", 0.3 + i, source=s, n=10) for i, s in enumerate("ab")]
    assert "The models were not judged together on the same rows." in read(Results.create(rows))
    nothing = "No two models have a figure in common that models are ranked by."
    forms = [
        Row("crps", 0.3, source=s, variant=v, n=10) for s, v in (("a", ""), ("samples", "ecdf"))
    ]
    other = Row("rmse", 0.1, 0.0, 0.2, source="a", other="samples", kind="difference", n=10)
    for given in (forms, [*forms, other]):
        words = read(Results.create(given))
        assert nothing in words
        assert "not judged" not in words
    reason = "nll is infinite on a row, so its difference has no interval"
    gap = Row("nll", np.nan, source="a", other="b", kind="undefined", reason=reason, n=10)
    assert f"No difference can be taken: {reason}." in read(Results.create([*rows, gap]))


def test_an_undefined_difference_does_not_stand_for_a_figure():
    """It has no training, as the mean over trainings has; the one training's figure does stand."""
    figures = [Row("nll", 0.3, source=s, training="0", n=10) for s in "ab"]
    gap = Row("nll", np.nan, source="a", other="b", kind="undefined", reason="infinite", n=10)
    material = Material(Results.create([*figures, gap]), [])
    assert material.row("", "test", "nll", "a").value == 0.3


def test_who_leads_is_read_from_the_comparison_of_all():
    """Two of three have several trainings; over both there is one pair, over items all three."""
    figure = {"a": 0.3, "b": 0.5, "c": 0.1}
    letters = {"a": "b", "b": "c", "c": "a"}
    rows = [
        Row("nll", figure[s], source=s, rank_group=letters[s] if over == "items" else "", over=over)
        for s, over in (
            ("a", "items"),
            ("a", "both"),
            ("b", "items"),
            ("b", "both"),
            ("c", "items"),
        )
    ]
    rows += [
        Row(
            "nll", figure[s] - figure[o], -0.5, -0.01, source=s, other=o, kind="difference",
            over=over, p_value=0.01,
        )
        for s, o, over in (
            ("a", "b", "items"), ("a", "b", "both"), ("c", "a", "items"), ("c", "b", "items")
        )
    ]  # fmt: skip
    words = read(Results.create(rows))
    assert "c leads by NLL" in words
    assert "a has the better NLL" not in words
    assert "Not compared with these" not in words
    bare = [dataclasses.replace(row, rank_group="") for row in rows]
    assert "Compared in pairs by NLL, without rank groups." in read(Results.create(bare))
