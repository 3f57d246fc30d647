"""Figures: they show the records' numbers, fit without overlap, say it in words, and save the same bytes."""

import itertools
import xml.etree.ElementTree as ElementTree

import fake_records
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image

from helpers import figures
from helpers.environment import InputError
from helpers.figures import style
from helpers.labels import ARMS
from helpers.report import summary

mpl.use("Agg")


@pytest.fixture(scope="module")
def one():
    return fake_records.study(seeds=(0,))


@pytest.fixture(scope="module")
def three():
    return fake_records.study("minilm", seeds=(0, 1, 2))


def _pruned(study, task="cola", amount=0.5):
    record = next(r for r in study if r["notebook"].startswith("03") and r["task"] == task)
    return fake_records.arm(record, f"pruned_{amount}")


def _stages(count):
    rows = [
        {"step": step, "loss": 2.0 * 0.97**step, "hidden": 1.5 * 0.97**step, "attention": 0.5} for step in range(50)
    ]
    names = ("teacher", "control", "student_intermediate", "student")[:count]
    return {
        name: rows if "intermediate" in name else [{"step": r["step"], "loss": r["loss"]} for r in rows]
        for name in names
    }


def _drawings(study):
    return {
        "figure1": figures.figure1(study),
        "size_score_latency": figures.size_score_latency(study),
        "bytes_bar": figures.bytes_bar(study),
        "sparsity_heatmap": figures.sparsity_heatmap(_pruned(study)),
        "loss_curves": figures.loss_curves(_stages(4)),
    }


def _texts(figure):
    """Return the texts that are drawn, each with its box: titles, labels, tick labels, notes, legends."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    ticks = [text for tick in figure.findobj(mpl.axis.Tick) for text in (tick.label1, tick.label2)]
    texts = [text for text in figure.findobj(mpl.text.Text) if text not in ticks]
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer).padded(2)
        for along, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
            for text in along.get_ticklabels() if axes.axison else ():
                box = text.get_window_extent(renderer)
                center = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)[side]
                if frame.get_points()[0, side] <= center <= frame.get_points()[1, side]:
                    texts.append(text)  # matplotlib keeps, but does not draw, ticks beyond the limits
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


def _assert_readable(figure):
    boxes = _texts(figure)
    assert boxes
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, f"clipped: {text!r}"
    for (left, a), (right, b) in itertools.combinations(boxes, 2):
        overlap_x, overlap_y = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert overlap_x <= 1 or overlap_y <= 1, f"{left!r} overlaps {right!r}"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_small_multiples_of_any_number_of_tasks_fit_without_overlap(count):
    study = fake_records.study(tasks=tuple(fake_records.TASKS)[:count])
    _assert_readable(figures.figure1(study))
    _assert_readable(figures.size_score_latency(study))


def test_the_other_figures_fit_without_overlap(one):
    for name, figure in _drawings(one).items():
        if name not in ("figure1", "size_score_latency"):
            _assert_readable(figure)


def test_figure1_draws_the_seeds_mean_and_its_interval(three):
    axis = figures.figure1(three).axes[0]
    assert axis.get_title() == "CoLA" and axis.get_ylabel() == "Matthews correlation"
    container = axis.containers[0]
    x, y = container.lines[0].get_data()
    points = summary.sweep(three, "cola")
    assert np.allclose(x, [100 * amount for amount, _ in points]) and list(x) == pytest.approx(range(0, 100, 10))
    values = [
        [
            fake_records.arm(r, f"pruned_{amount}")["scores"]["matthews_correlation"]["value"]
            for r in three
            if r["notebook"].startswith("03") and r["task"] == "cola"
        ]
        for amount in fake_records.AMOUNTS
    ]
    assert np.allclose(y, np.mean(values, axis=1))
    segments = container.lines[2][0].get_segments()
    half = 4.302653 * np.std(values, axis=1, ddof=1) / np.sqrt(3)
    assert np.allclose([segment[1, 1] - segment[0, 1] for segment in segments], 2 * half)


def test_figure1_has_teacher_student_and_floor_as_lines(one):
    axis = next(axis for axis in figures.figure1(one).axes if axis.get_title() == "RTE")
    lines = {to_hex(line.get_color()): line.get_ydata()[0] for line in axis.lines if len(set(line.get_ydata())) == 1}
    assert lines["#000000"] == pytest.approx(summary.score(one, "rte", "teacher").value)
    assert lines["#0072b2"] == pytest.approx(summary.score(one, "rte", "student").value)
    assert lines["#8c8c8c"] == pytest.approx(0.53)


def test_figure1_shades_the_reports_range(one):
    patch = figures.figure1(one).axes[0].patches[0]
    assert (patch.get_x(), patch.get_x() + patch.get_width()) == pytest.approx((10, 40))


def test_figure1_without_teacher_or_chosen_amount_still_draws(one):
    some = [r for r in one if r["notebook"].startswith("03") and r["task"] == "sst2"]
    figure = figures.figure1(some)
    assert "teacher" not in figures.alt_text(figure) and "SST-2" in figures.alt_text(figure)


def test_sparsity_heatmap_holds_every_module_in_its_place(one):
    arm = _pruned(one)
    figure = figures.sparsity_heatmap(arm)
    embeddings, layers = (axis for axis in figure.axes if axis.images and axis.get_yticklabels()[0].get_text() != "0")
    assert [t.get_text() for t in layers.get_xticklabels()] == ["query", "key", "value", "dense", "LayerNorm"]
    assert [t.get_text() for t in layers.get_yticklabels()] == [f"layer {k}" for k in (1, 2, 3, 4)]
    share = arm["sparsity"]["layers"]["bert.encoder.layer.2.attention.self.key"]
    assert layers.images[0].get_array()[2, 1] == pytest.approx(100 * share)
    assert embeddings.images[0].get_array()[0, 0] == pytest.approx(
        100 * arm["sparsity"]["layers"]["bert.embeddings.word_embeddings"]
    )


def test_sparsity_heatmap_knows_twelve_layers_and_feed_forward_names():
    layers = {f"bert.encoder.layer.{k}.{part}.dense": 0.1 for k in range(12) for part in ("intermediate", "output")}
    arm = {"arm": "pruned_0.1", "title": "Pruned", "sparsity": {"pool": 0.1, "model": None, "layers": layers}}
    figure = figures.sparsity_heatmap(arm)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["intermediate dense", "output dense"]
    _assert_readable(figure)


def test_bytes_bar_stacks_the_parts(one):
    axis = figures.bytes_bar(one).axes[0]
    widths = [patch.get_width() for patch in axis.patches]
    assert widths == pytest.approx([95.4, 340.2, 2.4, 38.7, 18.3, 0.4, 38.7, 4.6, 0.1])


def test_loss_curves_draw_the_loss_and_its_parts():
    figure = figures.loss_curves(_stages(3))
    assert [len(axis.lines) for axis in figure.axes] == [1, 1, 3]
    assert figure.axes[0].lines[0].get_ydata()[0] == 2.0


def test_each_method_has_its_own_colour():
    shown = {arm: style.colour(arm) for arm in ("teacher", "student", "pruned", "int8", "control")}
    assert len(set(shown.values())) == len(shown)
    assert style.colour("pruned_0.4") == figures.COLOURS["pruned"]
    assert style.colour("tinybert_shape_int8") == figures.COLOURS["int8"]
    assert set(style.MARKERS) == set(figures.COLOURS) - {"floor"}


def test_every_figure_says_in_words_what_it_shows(one):
    for name, figure in _drawings(one).items():
        assert len(figures.alt_text(figure)) > 40 and figures.caption(figure), name
        assert "nan" not in figures.alt_text(figure)
    floor = summary.sweep(one, "cola")[-1][1].value
    assert f"{floor:.2f} at 90 %" in figures.alt_text(figures.figure1(one))
    assert "TinyBERT shape 57.4 MB" in figures.alt_text(figures.bytes_bar(one))


def test_generated_data_is_named_in_the_caption(one, three):
    assert "generated tasks" in figures.caption(figures.figure1(one))
    assert "generated" not in figures.caption(figures.figure1(three))
    assert "t interval over seeds" in figures.caption(figures.figure1(three))


def test_drawing_leaves_the_callers_settings_and_pyplot_alone(one):
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 31}):
        figure = figures.bytes_bar(one)
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []
    assert max(text.get_fontsize() for text in figure.findobj(mpl.text.Text)) < 20


def test_saving_twice_gives_the_same_bytes_and_both_formats(one, tmp_path):
    study = [record for record in one if record["task"] == "cola"]
    first = figures.save(figures.figure1(study), tmp_path / "a", "figure1")
    second = figures.save(figures.figure1(study), tmp_path / "b", "figure1")
    assert [path.name for path in first] == ["figure1.svg", "figure1.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    svg = first[0].read_text(encoding="utf-8")
    ElementTree.fromstring(svg)
    assert "<dc:date>" not in svg and "Line charts of score against pruning amount: CoLA" in svg
    with Image.open(first[1]) as image:
        assert image.info["dpi"] == pytest.approx((110, 110), abs=0.1)
        assert image.info["Description"].startswith("Line charts")
        assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda study: figures.figure1([]), "results/<profile>/records"),
        (lambda study: figures.figure1(study[:1]), "03_pruning_sweep"),
        (lambda study: figures.size_score_latency(study[:1]), "04_dynamic_quantization"),
        (lambda study: figures.bytes_bar([r for r in study if r["notebook"].startswith("03")]), "04_dynamic"),
        (
            lambda study: figures.sparsity_heatmap(fake_records.arm(study[0], "teacher")),
            "'teacher' has no sparsity",
        ),
        (lambda study: figures.loss_curves({"teacher": []}), "no learning curves"),
        (lambda study: figures.loss_curves(None), "no learning curves"),
    ],
)
def test_nothing_to_draw_is_a_sentence(one, draw, message):
    with pytest.raises(InputError, match=message):
        draw(one)


# --- pictures of one run that stand for all


def test_pictures_of_one_run_say_which(three):
    drawn = figures.published(three)
    for name in ("curves", "sparsity"):
        assert figures.caption(drawn[name]).endswith("SST-2, seed 0, profile `minilm`.") and figures.alt_text(
            drawn[name]
        )
    assert "attention" not in drawn, "no record has maps"
    assert "size_score_latency" in drawn
    some = fake_records.study(tasks=("rte", "cola"))
    assert "RTE, seed 0, profile `mini`." in figures.caption(figures.published(some)["curves"])
    maps = {"text": "a b", "pieces": ["[CLS]", "a", "b", "[SEP]"], "layers": [2]}
    maps |= {"teacher": [np.eye(4).tolist()], "student": [np.full((4, 4), 0.25).tolist()]}
    for record in some:
        if record["notebook"].startswith("01") and record["task"] == "rte":
            record["attention"] = maps
    assert "“a b”" in figures.caption(figures.published(some)["attention"])
    assert "pair of maps: undefined." in figures.caption(figures.published(some)["attention"]), "one looks everywhere"


def test_curves_stand_in_the_order_of_their_stages():
    figure = figures.loss_curves(dict(sorted(_stages(4).items())))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [ARMS[name] for name in ("teacher", "control", "student_intermediate", "student")]
