"""The report: levels and trades worked by hand, figures equal to the evaluation's, a page that is safe and closed."""

import base64
import collections
import dataclasses
import html.parser
import io
import json
import math
import re
import sys
import zlib

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from flax import struct

from tests.report.browser import Browser
from tests.report.test_value_section import COIN, values
from tests.report.test_value_section import value as worth
from trading_gymnax import ContractSpec, TradingPhase1, runs
from trading_gymnax.cli import judging, stored
from trading_gymnax.cli import main as cli
from trading_gymnax.market import load_market_data
from trading_gymnax.render import INK, MissingExtra, price_decimals
from trading_gymnax.report.judge import LONG, POLICY, POLICY_SAMPLED, judge
from trading_gymnax.report.key_statistics import GROUPS
from trading_gymnax.report.material import Material
from trading_gymnax.report.number_sections import baselines_section, doubt_section, fills_section
from trading_gymnax.report.page import DARK, Html, Section, anchor, embed, escape, paragraph, table
from trading_gymnax.report.sections import SECTIONS, program_version, settings_section
from trading_gymnax.report.series import daily_results, day_profile, equity_path
from trading_gymnax.report.session_charts import session_charts
from trading_gymnax.report.trade_sections import list_section, trade_columns, trades_section
from trading_gymnax.report.write import standing, write_report
from trading_gymnax.rules import BUY, SELL
from trading_gymnax.synthetic import regime
from trading_gymnax.text import probability, ratio, usd

KEY = jax.random.key(0)
HOSTILE = "<script>alert(1)</script>"


@struct.dataclass
class Coin:
    """Enters in every tenth legal step, more often when it draws; has the switch that `judge` needs."""

    sampled: bool = struct.field(pytree_node=False, default=False)

    def __call__(self, key, obs, mask):
        draw = jax.random.uniform(key, mask.shape[:1])
        rate = 0.2 if self.sampled else 0.1
        return jnp.where(mask[:, SELL] & (draw < rate / 2), SELL, jnp.where(mask[:, BUY] & (draw < rate), BUY, 0))


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
        *("Key figures", "Equity", "Daily results", "Trades", "Session by session", "Trade list", "Over the day"),
        *("Beside policies that learnt nothing", "Where does the profit come from?", "Under other fills"),
        *("Doubtful bars", "Would it pass an evaluation account?", "What a bar hides", "Of another module", "Settings"),
    ]
    assert len(SECTIONS) == len(headings) - 3
    data = json.loads(page.scripts["page-data"])
    places = {attributes.get("id") for _, attributes in page.found}
    assert set(data["charts"]) | {"session-list", "session-chart", "trade-table"} <= places
    contents = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    assert contents == [f"#{anchor(title)}" for title in headings]
    assert {address[1:] for address in contents} <= places
    assert anchor("Would it pass an evaluation account?") == "would-it-pass-an-evaluation-account"
    verdict = page.text.index(made.held_out.verdict)
    assert verdict < page.text.index(made.seen.verdict) < page.text.rindex("Key figures")
    assert page.text.index("Out of sample") < verdict
    assert program_version() in page.text


def test_nothing_from_outside_becomes_html(made, page):
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 4
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
        assert not {"src", "srcset", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    policy = next(
        a["content"] for tag, a in page.found if "content-security-policy" in str(a.get("http-equiv")).lower()
    )
    assert policy.startswith("default-src 'none'")
    ours = made.text.replace(page.scripts["plotly"], "")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", ours)


def test_the_figures_are_those_of_the_evaluation(made, page):
    charts = json.loads(page.scripts["page-data"])["charts"]
    for name, judgement in (("out-of-sample", made.held_out), ("in-sample", made.seen)):
        row, found = judgement.rows[POLICY], judgement.evaluation
        equity, *_, drawdown = charts[f"equity-{name}"]["data"]
        assert equity["y"][0] == found.initial_balance_usd
        assert equity["y"][-1] == found.equity.iloc[-1]
        assert -min(drawdown["y"]) == row.max_drawdown_usd
        bars = charts[f"daily-{name}"]["data"][0]
        assert dict(zip(bars["x"], bars["y"], strict=True)) == daily_results(found).to_dict()
        assert sum(bars["y"]) == pytest.approx(row.net_usd)
        for value in (
            usd(row.net_usd, cents=True),
            f"{row.trades:,}",
            usd(row.max_drawdown_usd, sign=False, cents=True),
        ):
            assert f">{value}</td>" in made.text
    held = made.held_out.robustness
    for outcome in held.slippage.values():
        error = usd(outcome.standard_error_usd, sign=False)
        assert f": {usd(outcome.net_per_session_usd)} a session, standard error {error}" in page.text
    for outcome in (*held.slippage.values(), held.stop_first, held.target_first):
        assert f">{usd(outcome.net_usd)}</td>" in made.text
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
        for statistic in group:
            assert rows[statistic.name] == [escape(statistic.show(row)) for row in columns]
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


def test_the_page_says_what_leaps_inside_bars_would_cost(made, page):
    """A tick is 5 dollars and a trade one contract: 5 dollars times the share of trades that a stop order ended."""
    reasons = made.held_out.evaluation.trades["exit_reason"]
    toll = 5 * reasons.isin(["STOP", "LIQUIDATION"]).mean()
    assert 0 < toll < 5
    assert "fills at its level less 1 tick, also where price leapt over it" in page.text
    assert f"each tick of such leaps costs up to ${toll:.2f} a trade more" in page.text


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


def unpack(text: str):
    """What the page's script does with packed values."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def test_the_sessions_of_the_page_are_those_of_the_evaluation(made, page):
    data = json.loads(page.scripts["page-data"])
    found = made.held_out.evaluation
    assert [s["date"] for s in data["sessions"]] == found.sessions["date"].dt.strftime("%Y-%m-%d").tolist()
    sessions = [unpack(s["packed"]) for s in data["sessions"]]
    trades = [trade for session in sessions for trade in session["trades"]]
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


def test_the_trade_list_is_that_of_the_sessions_on_the_page(made, page):
    found = made.held_out.evaluation
    listed = unpack(json.loads(page.scripts["page-data"])["trades"])
    np.testing.assert_array_equal(listed["net"], (100 * found.trades["net_usd"]).round())
    np.testing.assert_array_equal(
        listed["session"], np.repeat(np.arange(len(found.sessions)), found.sessions["trades"])
    )
    assert [listed["reasons"][i] for i in listed["reason"]] == found.trades["exit_reason"].tolist()
    # of the best and the worst session alone, their trades, by the places of these two
    both = session_charts(found, made.split.test_params.market, max_sessions=2)
    few = trade_columns(made.held_out, both)
    assert few["session"] == [i for i, one in enumerate(both) for _ in one.trades]
    assert few["net"] == [round(100 * trade.net_usd) for one in both for trade in one.trades]


def test_long_short_and_exits_stand_apart(made, page):
    trades = made.held_out.evaluation.trades
    body = made.text[made.text.index("<h2>Trades<") : made.text.index("<h2>Session by session<")]
    cells = {
        re.search(r"<th[^>]*>(.*?)</th>", line)[1]: re.findall(r"<td[^>]*>(.*?)</td>", line)
        for line in re.findall(r"<tr>(.*?)</tr>", body)
    }
    sides = [trades["net_usd"], trades.loc[trades["side"] > 0, "net_usd"], trades.loc[trades["side"] < 0, "net_usd"]]
    assert cells["trades"] == [f"{len(part):,}" for part in sides]
    assert cells["net"] == [usd(part.sum(), cents=True) for part in sides]
    assert cells["largest win"] == [usd(part.max(), cents=True) for part in sides]
    assert cells["largest loss"] == [usd(part.min(), cents=True) for part in sides]
    for reason, part in trades.groupby("exit_reason"):
        assert cells[reason][0] == f"{len(part):,}"
        assert cells[reason][3] == usd(part["net_usd"].sum(), cents=True)
    # every histogram counts every trade once
    plots = re.findall(r'<svg [^>]*aria-label="([^"]*)">(.*?)</svg>', body)
    assert [title for title, _ in plots] == ["Result", "Holding time, bars", "Worst excursion", "Best excursion"]
    for _, marks in plots:
        assert sum(int(count.replace(",", "")) for count in re.findall(r": ([\d,]+) trades, ", marks)) == len(trades)


def test_sides_without_a_trade_and_values_that_are_all_alike(made):
    found = made.held_out.evaluation
    one = found.trades[found.trades["side"] > 0].iloc[:1].assign(net_usd=-5.0, bars_held=3, exit_reason="STOP")
    lonely = dataclasses.replace(made.held_out, evaluation=dataclasses.replace(found, trades=one))
    body = trades_section(Material(runs.TradingSettings(), made.split, made.seen, lonely, [], {})).body
    assert '<th>trades</th><td class="number">1</td><td class="number">1</td><td class="number">0</td>' in body
    assert '<th>largest win</th><td class="number">-</td><td class="number">-</td><td class="number">-</td>' in body
    none = dataclasses.replace(made.held_out, evaluation=dataclasses.replace(found, trades=one.iloc[:0]))
    for make in (trades_section, list_section):
        assert "never traded" in make(Material(runs.TradingSettings(), made.split, made.seen, none, [], {})).body


def test_what_the_market_did_stands_beside_the_equity(made, page):
    charts = json.loads(page.scripts["page-data"])["charts"]
    lines = {line["name"]: line for line in charts["equity-out-of-sample"]["data"]}
    long = made.held_out.rows[LONG]
    assert lines[LONG]["y"][-1] == pytest.approx(50_000 + long.net_usd)
    assert "buy and hold" in lines
    assert LONG not in {line["name"] for line in charts["equity-in-sample"]["data"]}  # walked held out only


def test_doubts_stand_on_top(made, tmp_path):
    doubt = f"NQ: prices a hundred times too large {HOSTILE}"
    params = made.split.test_params
    doubtful = dataclasses.replace(params.market, doubts=(doubt,))
    split = dataclasses.replace(
        made.split, test_params=params.replace(market=doubtful), note=f"{runs.doubt_lines(doubtful)}held out"
    )
    text = write_report(made.path.parents[1], split, made.seen, made.held_out, out=tmp_path).read_text("utf-8")
    notice = f'<p class="notice">DOUBTFUL: {escape(doubt)}</p>'
    assert text.count(str(escape(doubt))) == 1
    assert text.index("<h1>") < text.index(notice) < text.index('class="verdict')


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
    assert written == ["equity.png", "report.html", "session.png"]
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


def test_the_account_that_a_run_was_trained_on_comes_first(made, tmp_path):
    found = values(worth(150, 20, 260), COIN, worth(-10, -20, -5))
    held_out = dataclasses.replace(made.held_out, account=HOSTILE, value=found)
    text = write_report(made.path.parents[1], made.split, made.seen, held_out, out=tmp_path).read_text("utf-8")
    assert '<div class="verdict good">' in text
    said, sessions = (escape(x) for x in (found.verdict_per_fee(HOSTILE, "out of sample"), made.held_out.verdict))
    assert 0 < text.index(said) < text.index(sessions)
    assert re.findall(r"<h2>(.*?)</h2>", text)[:2] == [f"What is the account {escape(HOSTILE)} worth?", "Key figures"]
    assert ">$2.50</div>" in text
    assert "<td" in text
    assert "2.50<br>(1.20 to 3.60)" in text
    assert "0.90<br>(0.80 to 0.95)" in text
    assert held_out.to_dict()["account"]["value"][0]["per_fee"] == 2.5
    assert f"the account {HOSTILE} over its life:" in str(held_out)
    without = dataclasses.replace(held_out, value=None, no_value="not estimated, since")
    assert without.verdict.startswith(f"What the account {HOSTILE} earns was not estimated, since.")


@pytest.mark.parametrize("package", ["plotly", "matplotlib"])
def test_a_missing_package_is_told_in_one_sentence(made, monkeypatch, tmp_path, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf'{package}.*pip install "trading-gymnax\[report\]"'):
        write_report(made.path.parents[1], made.split, made.seen, made.held_out, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


# -- in a browser --


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


DRAWN = """
const all = (what) => [...document.querySelectorAll(what)];
const place = document.getElementById("session-chart");
while (!place.dataset.shown) await new Promise((go) => setTimeout(go, 20));
return {
  charts: all(".js-plotly-plot").length, candles: all("path.box").length, ...place.dataset,
  text: document.body.innerText,
};
"""


def test_the_page_in_a_browser(made, browser, tmp_path):
    browser.open(made.path, 1280, 8000)
    seen = browser.run(DRAWN)
    browser.picture(tmp_path / "page.png")
    assert (browser.console, browser.requests) == ([], [])
    assert seen["charts"] == 5
    # candles of the session shown, all its trades on them
    day = made.held_out.evaluation.sessions.set_index("date").loc[seen["shown"]]
    assert int(seen["trades"]) == day["trades"]
    assert seen["candles"] >= 400
    assert usd(made.held_out.rows[POLICY].net_usd) in seen["text"]
    picture = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    for color in ((0x33, 0x51, 0x8F), (0x2F, 0x7F, 0x79), (0xB4, 0x53, 0x3C)):  # equity, rising and falling bars
        assert (np.abs(picture * 255 - color).max(axis=-1) < 3).sum() > 200


def test_another_trade_by_its_address(made, browser):
    day = made.held_out.evaluation.sessions.iloc[-1]
    browser.open(made.path, 500, 900, fragment=f"#{day['date']:%Y-%m-%d}/2")
    seen = browser.run(DRAWN)
    assert browser.console == []
    assert (seen["shown"], seen["marked"]) == (f"{day['date']:%Y-%m-%d}", "2")
    assert int(seen["trades"]) == day["trades"]


PRINTED = """
const place = document.getElementById("session-chart");
while (!window.report?.unpacked.size) await new Promise((go) => setTimeout(go, 20));
const before = place.querySelectorAll("path.box").length;
dispatchEvent(new Event("beforeprint"));
return [before, place.querySelectorAll("path.box").length];
"""


def test_a_page_is_printed_with_the_candles_that_nobody_saw(made, browser):
    """A browser prints what is there when the event is over, and waits for nothing."""
    browser.open(made.path, 900, 600)
    before, printed = browser.run(PRINTED)
    assert before == 0
    assert printed >= 400


PROBE = """
const one = (what) => document.querySelector(what), all = (what) => [...document.querySelectorAll(what)];
const until = async (test) => {
  while (!test()) await new Promise((go) => setTimeout(go, 20));
};
const rows = () => all("#trade-table tbody tr").map((row) => [...row.cells].map((cell) => cell.textContent));
await until(() => rows().length);
const seen = { width: innerWidth, wide: document.documentElement.scrollWidth, first: rows() };
seen.paper = getComputedStyle(document.body).backgroundColor;
one("#settings").scrollIntoView();
await until(() => one("#contents a[aria-current]")?.textContent === "Settings");
const place = one("#contents").getBoundingClientRect();
seen.contents = [place.top >= 0, place.top < innerHeight, one("#contents a[aria-current]")?.textContent];
one("#equity").scrollIntoView();
await until(() => one("#equity-out-of-sample").layout);
seen.ink = one("#equity-out-of-sample").layout.font.color;
all("#trade-table th button").find((button) => button.textContent === "net").click();
seen.sorted = rows();
const side = one("[data-filter=side]");
side.value = "short";
side.dispatchEvent(new Event("input"));
seen.filtered = [one("#trades-found").textContent, rows()];
let saved;
URL.createObjectURL = (blob) => ((saved = blob), "#");
HTMLAnchorElement.prototype.click = () => {};
one("#save-trades").click();
seen.file = await saved.text();
one("#trade-table tbody tr").click();
await until(() => one("#session-chart").dataset.marked);
seen.shown = { ...one("#session-chart").dataset };
dispatchEvent(new Event("beforeprint"));
const undrawn = () => all(".chart").filter((chart) => !chart.querySelector(".main-svg")).length;
await until(() => !undrawn());
seen.printed = [undrawn(), one("#equity-out-of-sample").layout.font.color];
return seen;
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_at_three_widths_light_and_dark(made, browser, width, dark):
    browser.open(made.path, width, 900, dark=dark)
    one = browser.run(PROBE)
    assert (browser.console, browser.requests) == ([], [])
    assert one["width"] == one["wide"] == width  # nothing to be scrolled sideways but tables
    assert one["paper"] == ("rgb(21, 24, 29)" if dark else "rgb(255, 255, 255)")
    assert one["ink"] == (DARK[INK] if dark else INK)
    assert one["printed"] == [0, INK]
    assert one["contents"] == [True, True, "Settings"]
    trades = made.held_out.evaluation.trades
    assert len(one["first"]) == min(50, len(trades))
    first = trades.iloc[0]
    prices = [f"{first[name]:,.2f}" for name in ("entry_price", "exit_price")]
    assert one["first"][0][:3] == [f"{first[name]:{form}}" for name, form in CLOCKS]
    assert one["first"][0][5:7] == prices
    nets = trades["net_usd"].sort_values(ascending=False)[:50]
    assert [row[9] for row in one["sorted"]] == [usd(net, cents=True) for net in nets]
    short = trades[trades["side"] < 0].sort_values("net_usd", ascending=False, kind="stable")
    assert one["filtered"][0].startswith(f"{len(short):,} of {len(trades):,} trades, ")
    saved = pd.read_csv(io.StringIO(one["file"]))
    np.testing.assert_array_equal(saved["net_usd"], short["net_usd"])
    np.testing.assert_array_equal(saved["exit_price"], short["exit_price"])
    assert set(saved["market"]) == {HOSTILE}
    assert saved["exit_reason"].tolist() == short["exit_reason"].tolist()
    best = short.iloc[0]
    own = trades[trades["date"] == best["date"]]
    assert one["shown"]["shown"] == f"{best['date']:%Y-%m-%d}"
    assert int(one["shown"]["marked"]) == own.index.get_loc(best.name) + 1


CLOCKS = (("date", "%Y-%m-%d"), ("entry_time", "%H:%M"), ("exit_time", "%H:%M"))


def test_the_browser_would_tell(browser, tmp_path):
    # What the tests above rely on: a fault and a request do show up.
    page = tmp_path / "bad.html"
    page.write_text('<script>fetch("http://x.invalid/a").catch(() => {}); throw new Error("broken")</script>')
    browser.open(page, 500, 500)
    browser.run("await new Promise((go) => setTimeout(go, 200))")
    assert "broken" in " ".join(browser.console)
    assert browser.requests == ["http://x.invalid/a"]


# -- the command --


def test_the_command_writes_a_report(made, tmp_path, monkeypatch, capsys):
    run_dir = made.path.parents[1]
    monkeypatch.setattr(judging, "load_policy", lambda folder, checkpoint: Coin())
    monkeypatch.setattr(judging, "build", lambda settings: made.split)
    for module in (judging, stored):
        monkeypatch.setattr(module, "check_files", lambda settings: None)
    cli.main(["report", str(run_dir), "--out", str(tmp_path / "page")])
    said = capsys.readouterr().out.splitlines()
    page = tmp_path / "page" / "report.html"
    assert said[0] in page.read_text("utf-8")
    assert said[1].startswith("1 setting tried on these sessions in 1 look, by the ledger")
    assert said[-1].startswith(str(page))
    with pytest.raises(SystemExit):
        cli.main(["report", str(tmp_path / "nowhere")])
    assert "holds no run" in capsys.readouterr().err
