"""The report: levels and trades worked by hand, figures equal to the evaluation's, a page that is safe and closed."""

import collections
import dataclasses
import html.parser
import json
import math
import re
import sys

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from flax import struct
from hypothesis import given
from hypothesis import strategies as st

from tests.report.browser import visit
from tests.rules.handmade import LEVEL, WARMUP, flat, make_bars
from trading_gymnax import ContractSpec, EnvParams, EnvParamsPhase2, TradingPhase1, TradingPhase2, runs
from trading_gymnax.cli import main as cli
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.market import load_market_data, pack
from trading_gymnax.render import MissingExtra, price_decimals
from trading_gymnax.report.judge import POLICY, POLICY_SAMPLED, judge
from trading_gymnax.report.key_statistics import GROUPS
from trading_gymnax.report.material import Material
from trading_gymnax.report.number_sections import baselines_section, doubt_section, fills_section
from trading_gymnax.report.page import Html, Section, embed, escape, paragraph, table
from trading_gymnax.report.sections import SECTIONS, program_version, settings_section
from trading_gymnax.report.series import daily_results, day_profile, equity_path, thin
from trading_gymnax.report.session_charts import LEAD_BARS, choose_sessions, level_runs, session_charts
from trading_gymnax.report.write import standing, write_report
from trading_gymnax.rules import BUY, ENABLE_TRAIL, MOVE_SL_TO_BE, SELL
from trading_gymnax.synthetic import regime
from trading_gymnax.text import probability, ratio, usd

KEY = jax.random.key(0)
HOSTILE = "<script>alert(1)</script>"


@struct.dataclass
class Script:
    """Takes the action that a table [M, T] holds for the decision bar."""

    actions: jax.Array
    reads_state = True

    def __call__(self, key, obs, mask, state):
        return self.actions[state.market_id, state.step_idx].astype(jnp.int32)


@struct.dataclass
class Coin:
    """Enters in every tenth legal step, more often when it draws; has the switch that `judge` needs."""

    sampled: bool = struct.field(pytree_node=False, default=False)

    def __call__(self, key, obs, mask):
        draw = jax.random.uniform(key, mask.shape[:1])
        rate = 0.2 if self.sampled else 0.1
        return jnp.where(mask[:, SELL] & (draw < rate / 2), SELL, jnp.where(mask[:, BUY] & (draw < rate), BUY, 0))


def bar(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """A bar by its distances in ticks from LEVEL."""
    return (LEVEL + open_, LEVEL + high, LEVEL + low, LEVEL + close)


def played(env_class, params_class, rows, actions: dict[int, int], **fields):
    """Evaluation and charts of actions at rows of hand-made NQ bars."""
    market = pack([make_bars(rows)])
    table = np.zeros((1, market.bars.shape[1]), np.int32)
    for row, action in actions.items():
        table[0, WARMUP + row] = action
    env, params = env_class(market), params_class.create(market, **fields)
    found = evaluate_policy(Script(jnp.asarray(table)), env, params, key=KEY)
    return found, session_charts(found, market)[0]


# -- sessions as charts --


def test_levels_and_trades_of_a_session_worked_by_hand():
    # ATR 8: stop 12 and target 36 ticks from the fill, which is a tick worse than the open.
    rows = [bar(0, 0, 0, 0), bar(0, 10, -5, 4), bar(4, 39, -8, 30), *[bar(30, 30, 30, 30)]]
    rows += [bar(30, 33, 25, 26), bar(45, 50, 40, 44)]
    found, chart = played(TradingPhase1, EnvParams, rows, {0: BUY, 3: SELL})
    first = LEAD_BARS - 1  # row of the chart that shows row 0, the first decision bar
    np.testing.assert_array_equal(chart.bars[first : first + 6], rows)
    # long from 1 in rows 1 and 2: stop -11, target 37; short from 29 in rows 4 and 5: stop 41, target -7
    stop, target = ({1: a, 2: a, 4: b, 5: b} for a, b in ((-11, 41), (37, -7)))
    for levels, expected in ((chart.stop, stop), (chart.target, target)):
        wanted = [LEVEL + expected[row] if row in expected else 0 for row in range(10)]
        np.testing.assert_array_equal(levels[first : first + 10], wanted)
    assert not chart.stop[:first].any()
    long, short = chart.trades
    assert (long.entry_row - first, long.exit_row - first, long.side, long.reason) == (1, 2, 1, "TARGET")
    assert (long.entry - LEVEL, long.exit - LEVEL, long.net_usd) == (1, 37, 175.0)
    assert (short.entry_row - first, short.exit_row - first, short.side, short.reason) == (4, 5, -1, "STOP")
    assert (short.entry - LEVEL, short.exit - LEVEL, short.net_usd) == (29, 46, -90.0)
    assert str(chart.time[first]) == "2025-01-07T09:30"
    assert (chart.date, chart.symbol, chart.net_usd) == ("2025-01-07", "NQ", 85.0)
    assert len(chart.time) == len(chart.stop) == LEAD_BARS + len(found.bars)


def test_a_stop_that_is_managed_is_shown_where_it_was_in_force():
    rows = [
        bar(0, 0, 0, 0),
        bar(0, 2, -2, 2),
        bar(2, 8, 2, 8),
        bar(8, 12, 8, 12),
        bar(12, 14, 6, 14),
        bar(14, 16, 4, 5),
    ]
    rows += flat(LEVEL + 5, 3)
    actions = {0: BUY, 2: MOVE_SL_TO_BE, 3: ENABLE_TRAIL}
    found, chart = played(TradingPhase2, EnvParamsPhase2, rows, actions)
    first = LEAD_BARS - 1
    # Long from 1, stop -11 in rows 1 and 2. Moved to 1 at the close of row 2: in force in row 3. The trail (8 ticks)
    # is enabled at the close of row 3, 12 - 8 = 4, in force in row 4; its close of 14 lifts it to 6 for row 5,
    # whose low of 4 takes the position out at 6 - 1.
    expected = [0, -11, -11, 1, 4, 6]
    np.testing.assert_array_equal(chart.stop[first : first + 7], [x and LEVEL + x for x in expected] + [0])
    assert [(t.exit - LEVEL, t.reason) for t in chart.trades] == [(5, "TRAIL")]
    assert found.trades["exit_reason"].tolist() == ["TRAIL"]


def test_runs_of_levels():
    stop, target = np.array([0, 5, 5, 6, 0, 0, 7]), np.array([0, 9, 9, 9, 0, 0, 3])
    assert level_runs(stop, target) == [[1, 2, 5, 9], [3, 1, 6, 9], [6, 1, 7, 3]]
    assert level_runs(stop[:1], target[:1]) == []


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=90), st.integers(2, 60))
def test_the_sessions_of_a_page_hold_the_best_and_the_worst(nets, limit):
    chosen = choose_sessions(np.array(nets), limit)
    assert len(chosen) == min(limit, len(nets))
    assert (np.diff(chosen) > 0).all()
    shown = [nets[i] for i in chosen]
    assert max(shown) == max(nets)
    assert min(shown) == min(nets)


# -- numbers behind the charts --


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=400), st.integers(10, 100))
def test_a_thinned_line_keeps_what_is_read_off_it(moves, limit):
    equity = np.cumsum(moves).astype(float)
    drawdown = equity - np.maximum.accumulate(np.maximum(equity, 0))
    keep = thin(equity, drawdown, limit)
    assert (np.diff(keep) > 0).all()
    assert len(keep) <= max(limit, 10)
    assert keep[0] == 0
    assert keep[-1] == len(equity) - 1
    for line in (equity, drawdown):
        assert line[keep].min() == line.min()
        assert line[keep].max() == line.max()


def test_small_texts():
    assert [usd(x) for x in (1234.4, -5.0, 0.0, -0.2, math.nan)] == ["+$1,234", "-$5", "$0", "$0", "-"]
    assert usd(-12345.5, cents=True) == "-$12,345.50"
    assert usd(1e6, sign=False) == "$1,000,000"
    assert [price_decimals(x) for x in (0.25, 1.0, 0.1, 0.01, 5, 10.0)] == [2, 0, 1, 2, 0, 0]
    assert [ratio(x) for x in (math.nan, math.inf, 1234.567)] == ["-", "no loss", "1,234.57"]
    assert [probability(x) for x in (math.nan, 0.0, 0.0456)] == ["-", "below 0.0001", "0.046"]


def test_outside_text_is_escaped_where_it_enters():
    assert escape('<b a="1">&') == "&lt;b a=&quot;1&quot;&gt;&amp;"
    assert escape(Html("<b>")) == "<b>"
    assert "<i>" not in paragraph("<i>") + table(["<i>"], [["<i>", 1]])
    assert embed({"x": "</script><!--&"}) == '{"x":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    assert json.loads(embed({"x": "</script><!--&"})) == {"x": "</script><!--&"}
    with pytest.raises(ValueError, match="JSON"):
        embed(math.nan)


# -- the page --

Made = collections.namedtuple("Made", "path text split seen held_out")


def made_up_section(material) -> Section:
    """What another module may add."""
    return Section("Of another module", paragraph(material.markets))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """A report on a market and settings that are named as nastily as can be."""
    spec = ContractSpec(HOSTILE, 0.25, 20.0, calendar=None)
    tape = regime(8, spec=spec)
    market = load_market_data(tape.frame, spec)
    train, test = market.split(str(np.datetime64(int(market.session_date[0, 5]), "D")))
    env = TradingPhase1(market)
    params = env.default_params
    split = runs.Split(env, params.replace(market=train), params.replace(market=test), f"{HOSTILE}: held out")
    run_dir = tmp_path_factory.mktemp("report") / "run"
    path = f"/bars/{HOSTILE}.csv"
    settings = runs.TradingSettings(data=(path,), market=(HOSTILE,), digests=("0" * 64,), loader={HOSTILE: "</script>"})
    runs.write_settings(run_dir, settings)
    (run_dir / "run.json").write_text(json.dumps({"config": {"activation": "<img src=x onerror=alert(1)>"}}))
    seen = judge(Coin(), env, split.train_params, key=KEY, label="in sample", baselines=False)
    held_out = judge(Coin(), env, split.test_params, key=KEY, label="out of sample", luck_seeds=3)
    written = write_report(run_dir, split, seen, held_out, more=[made_up_section])
    return Made(written, written.read_text("utf-8"), split, seen, held_out)


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, the text, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text, self.scripts = "", {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attributes = self.found[-1] if self.found else ("", {})
        if tag == "script" and data.strip():
            self.scripts[attributes.get("id", "own")] = self.scripts.get(attributes.get("id", "own"), "") + data
        else:
            self.text += data


@pytest.fixture(scope="module")
def page(made) -> Elements:
    return Elements(made.text)


def test_the_page_has_its_parts_in_order(made, page):
    headings = re.findall(r"<h2>(.*?)</h2>", made.text)
    assert headings == [
        *("Key figures", "Equity", "Daily results", "Session by session", "Over the day"),
        *("Beside policies that learnt nothing", "Where does the profit come from?", "Under other fills"),
        *("Doubtful bars", "Would it pass an evaluation account?", "What a bar hides", "Of another module", "Settings"),
    ]
    assert len(SECTIONS) == len(headings) - 3
    data = json.loads(page.scripts["page-data"])
    places = {attributes.get("id") for _, attributes in page.found}
    assert set(data["charts"]) | {"session-list", "session-chart", "trades"} <= places
    verdict = page.text.index(made.held_out.verdict)
    assert verdict < page.text.index(made.seen.verdict) < page.text.index("Key figures")
    assert page.text.index("Out of sample") < verdict
    assert program_version() in page.text


def test_nothing_from_outside_becomes_html(made, page):
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    # the names are there, as text
    assert page.text.count(HOSTILE) >= 3
    assert "<img src=x onerror=alert(1)>" in page.text
    data = page.scripts["page-data"]
    assert "<" not in data
    assert {session["symbol"] for session in json.loads(data)["sessions"]} == {HOSTILE}


def test_the_page_names_nothing_to_load(page, made):
    for tag, attributes in page.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not {"src", "href", "srcset", "action"} & set(attributes)
    policy = next(
        a["content"] for tag, a in page.found if "content-security-policy" in str(a.get("http-equiv")).lower()
    )
    assert policy.startswith("default-src 'none'")
    ours = made.text.replace(page.scripts["plotly"], "")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", ours)


def test_the_figures_are_those_of_the_evaluation(made, page):
    figures = json.loads(page.scripts["page-data"])["charts"]
    for name, judgement in (("out-of-sample", made.held_out), ("in-sample", made.seen)):
        row, found = judgement.rows[POLICY], judgement.evaluation
        equity, _, drawdown = figures[f"equity-{name}"]["data"]
        assert equity["y"][0] == found.initial_balance_usd
        assert equity["y"][-1] == found.equity.iloc[-1]
        assert -min(drawdown["y"]) == row.max_drawdown_usd
        bars = figures[f"daily-{name}"]["data"][0]
        assert dict(zip(bars["x"], bars["y"], strict=True)) == daily_results(found).to_dict()
        assert sum(bars["y"]) == pytest.approx(row.net_usd)
        for value in (
            usd(row.net_usd, cents=True),
            f"{row.trades:,}",
            usd(row.max_drawdown_usd, sign=False, cents=True),
        ):
            assert f">{value}</td>" in made.text
    held = made.held_out.robustness
    bars = figures["slippage"]["data"][0]
    assert bars["x"] == ["0", "1", "2", "3", "4"]
    assert bars["y"] == [round(x.net_per_session_usd, 2) for x in held.slippage.values()]
    assert bars["error_y"]["array"] == [round(x.standard_error_usd, 2) for x in held.slippage.values()]
    for outcome in (*held.slippage.values(), held.stop_first, held.target_first):
        assert f">{usd(outcome.net_usd)}</td>" in made.text
    assert figures["luck"]["data"][0]["x"] == [round(float(x), 2) for x in made.held_out.luck_usd]
    for name, row in made.held_out.rows.items():
        assert name in page.text
        assert f">{usd(row.net_per_session_usd)}</td>" in made.text


def test_every_figure_stands_in_sample_and_out_of_sample_apart(made, page):
    body = made.text[made.text.index("<h2>Key figures") : made.text.index("<h2>Equity")]
    head = re.findall(r"<th[^>]*>(.*?)</th>", body[: body.index("</thead>")])
    labels = [re.sub(r"<[^>]*>", " ", text).split() for text in head[1:]]
    assert labels == [
        [*label.split(), *kind.split()]
        for label in ("Out of sample", "In sample")
        for kind in ("most probable", "drawn")
    ]
    rows = {
        re.search(r"<th[^>]*>(.*?)</th>", line)[1]: re.findall(r"<td[^>]*>(.*?)</td>", line)
        for line in re.findall(r"<tr>(.*?)</tr>", body[body.index("<tbody>") :])
    }
    columns = [judgement.rows[name] for judgement in (made.held_out, made.seen) for name in (POLICY, POLICY_SAMPLED)]
    count = 0
    for _, group in GROUPS:
        for figure in group:
            assert rows[figure.name] == [escape(figure.show(row)) for row in columns]
            count += 1
    assert count == 30
    smallest = usd(made.held_out.rows[POLICY].smallest_edge_usd, sign=False)
    assert f"can show an edge of {smallest} a trade or more" in page.text


def test_a_doubtful_result_is_called_so(made):
    row = dataclasses.replace(made.held_out.rows[POLICY], ambiguous_trade_share=0.03)
    doubtful = dataclasses.replace(made.held_out, rows={**made.held_out.rows, POLICY: row})
    material = Material(runs.TradingSettings(), made.split, made.seen, doubtful, [], {})
    body = doubt_section(material).body
    assert body.count("undecidable on bars of this length") == 1
    assert "(3.00%)" in body
    assert standing(row) == "unsure"
    assert "undecidable" not in doubt_section(dataclasses.replace(material, held_out=made.held_out)).body


def test_a_judgement_without_baselines_has_a_page_too(made, tmp_path):
    bare = dataclasses.replace(made.seen, label="out of sample")
    material = Material(runs.TradingSettings(), made.split, made.seen, bare, [], {})
    assert "not walked under other fills" in fills_section(material).body
    assert fills_section(material).charts == {}
    assert "in such a bar" not in doubt_section(material).body
    assert "Luck" not in baselines_section(material).body


@pytest.mark.parametrize("commit", [None, "0123abc"])
def test_the_page_names_the_commit_that_trained(made, commit):
    settings = runs.TradingSettings(commit=commit)
    body = settings_section(Material(settings, made.split, made.seen, made.held_out, [], {})).body
    trained = "commit 0123abc" if commit else "a commit that was not recorded"
    assert f"The policy was trained by {trained}; this page was made by {program_version()}." in body
    assert "<th>commit</th>" not in body


def test_the_sessions_of_the_page_are_those_of_the_evaluation(made, page):
    sessions = json.loads(page.scripts["page-data"])["sessions"]
    found, trades = made.held_out.evaluation, []
    assert [s["net"] for s in sessions] == found.sessions["net_usd"].tolist()
    assert [s["date"] for s in sessions] == found.sessions["date"].dt.strftime("%Y-%m-%d").tolist()
    for session in sessions:
        trades += session["trades"]
    ticks = np.array([[t[4], t[5]] for t in trades]) * 0.25
    np.testing.assert_array_equal(ticks, found.trades[["entry_price", "exit_price"]])
    assert [t[7] for t in trades] == found.trades["net_usd"].tolist()
    assert [t[6] for t in trades] == found.trades["exit_reason"].tolist()
    # Undone as the script does it, the bars are those of the market.
    for session, chart in zip(sessions, session_charts(found, made.split.test_params.market), strict=True):
        close = session["base"] + np.cumsum(session["c"])
        opening = np.concatenate([[session["base"]], close[:-1]]) + session["o"]
        high, low = np.maximum(opening, close) + session["h"], np.minimum(opening, close) - session["l"]
        np.testing.assert_array_equal(np.stack([opening, high, low, close], axis=1), chart.bars)


def test_shares_over_the_day_add_up(made, page):
    found = made.held_out.evaluation
    profile, bars = day_profile(found), found.bars
    # 09:31 to 16:59 in slots of a quarter: thirty, the first of fifteen bars a session
    assert (profile.slots[0], profile.slots[-1], len(profile.slots)) == ("09:30", "16:45", 30)
    early = bars[bars["time"].dt.strftime("%H:%M") <= "09:45"]
    assert profile.actions["BUY"][0] == pytest.approx((early["action"] == "BUY").mean())
    assert profile.long[0] == pytest.approx((early["position"] > 0).mean())
    weights = np.array([15] * 29 + [14])
    for name in ("BUY", "SELL"):
        assert np.average(profile.actions[name], weights=weights) == pytest.approx(found.actions["share"][name])
    path = equity_path(found, max_points=100)
    assert len(path.at) < 110
    assert path.equity_usd[-1] == found.equity.iloc[-1]


def test_pictures_are_written(made):
    written = sorted(path.name for path in made.path.parent.iterdir())
    assert written == ["equity.png", "origin.png", "report.html", "session.png"]
    for name in ("equity", "session"):
        picture = matplotlib.image.imread(made.path.with_name(f"{name}.png"))
        assert picture.shape[1] == 1100
        assert picture[..., :3].std() > 0.05


def test_the_colour_of_a_verdict(made):
    row = made.held_out.rows[POLICY]
    assert standing(row.__class__(**{**vars(row), "net_per_session_usd": -1.0})) == "bad"
    assert standing(row.__class__(**{**vars(row), "net_per_session_usd": 1.0, "p_value": 0.2})) == "unsure"
    assert standing(row.__class__(**{**vars(row), "net_per_session_usd": 1.0, "p_value": 0.01})) == "good"
    assert standing(row.__class__(**{**vars(row), "trades": 0})) == "unsure"
    many = {"net_per_session_usd": 1.0, "p_value": 0.01, "configurations_tried": 9, "deflated_sharpe": 0.9}
    assert standing(row.__class__(**{**vars(row), **many})) == "unsure"


@pytest.mark.parametrize("package", ["plotly", "matplotlib"])
def test_a_missing_package_is_told_in_one_sentence(made, monkeypatch, tmp_path, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf'{package}.*pip install "trading-gymnax\[report\]"'):
        write_report(made.path.parents[1], made.split, made.seen, made.held_out, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


# -- in a browser --


def test_the_page_in_a_browser(made, tmp_path):
    seen = visit(made.path, tmp_path, height=6800)
    assert seen.console == []
    assert seen.requests == []
    row = made.held_out.rows[POLICY]
    assert seen.html.count('class="main-svg"') >= 9
    # candles of the session shown, and its trades in the table below
    shown = re.search(r'id="session-chart"[^>]*data-shown="([\d-]+)"', seen.html)
    assert shown
    day = made.held_out.evaluation.sessions.set_index("date").loc[shown[1]]
    assert seen.html.count('<path class="box"') >= 400
    body = re.search(r'id="trades".*?<tbody>(.*?)</tbody>', seen.html, re.DOTALL)
    assert body
    assert body[1].count("<tr>") == day["trades"]
    assert f">{usd(row.net_usd)}<" in seen.html
    picture = matplotlib.image.imread(seen.picture)[..., :3]
    for color in ((0x33, 0x51, 0x8F), (0x2F, 0x7F, 0x79), (0xB4, 0x53, 0x3C)):  # equity, rising and falling bars
        assert (np.abs(picture * 255 - color).max(axis=-1) < 3).sum() > 200


def test_another_session_by_its_address(made, tmp_path):
    sessions = made.held_out.evaluation.sessions
    for row in (0, len(sessions) - 1):
        day = sessions.iloc[row]
        seen = visit(made.path, tmp_path, fragment=f"#{day['date']:%Y-%m-%d}", width=500)
        assert seen.console == []
        assert f'data-shown="{day["date"]:%Y-%m-%d}"' in seen.html
        body = re.search(r'id="trades".*?<tbody>(.*?)</tbody>', seen.html, re.DOTALL)
        assert body
        trade = made.held_out.evaluation.trades.groupby("date").get_group(day["date"]).iloc[0]
        first = re.findall(r"<td[^>]*>(.*?)</td>", body[1])[:8]
        assert first[:2] == [f"{trade[name]:%H:%M}" for name in ("entry_time", "exit_time")]
        assert first[2] == {1: "long", -1: "short"}[trade["side"]]
        assert first[4:6] == [f"{trade[name]:,.2f}" for name in ("entry_price", "exit_price")]
        assert first[6:] == [trade["exit_reason"], usd(trade["net_usd"], cents=True)]


def test_the_browser_would_tell(tmp_path):
    # What the tests above rely on: a fault and a request do show up.
    page = tmp_path / "bad.html"
    page.write_text('<script>fetch("http://x.invalid/a").catch(() => {}); throw new Error("broken")</script>')
    seen = visit(page, tmp_path)
    assert "broken" in " ".join(seen.console)
    assert seen.requests == ["http://x.invalid/a"]


# -- the command --


def test_the_command_writes_a_report(made, tmp_path, monkeypatch, capsys):
    run_dir = made.path.parents[1]
    monkeypatch.setattr(cli, "load_policy", lambda folder, checkpoint: Coin())
    monkeypatch.setattr(cli, "build", lambda settings: made.split)
    monkeypatch.setattr(cli, "check_files", lambda settings: None)
    cli.main(["report", str(run_dir), "--out", str(tmp_path / "page")])
    said = capsys.readouterr().out.splitlines()
    page = tmp_path / "page" / "report.html"
    assert said[0] in page.read_text("utf-8")
    assert said[1].startswith("1 setting tried on these sessions in 1 look, by the ledger")
    assert said[-1].startswith(str(page))
    with pytest.raises(SystemExit):
        cli.main(["report", str(tmp_path / "nowhere")])
    assert "holds no run" in capsys.readouterr().err
