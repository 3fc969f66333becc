"""The report of a comparison as one page that needs nothing else: for the person who decides."""

from __future__ import annotations

import jinja2

from rescore.comparison import (
    ComparisonReport,
    FirstReport,
    gain_in_words,
    number_in_words,
    signed_in_words,
)
from rescore.report import comparison_charts as charts
from rescore.report.drawing import svg

__all__ = ["comparison_html"]

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ r.model }} {{ r.challenger.version }}: comparison</title>
<style>
body { font: 15px/1.5 "Liberation Sans", Arial, sans-serif; color: #222; max-width: 60em; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em } h2 { font-size: 1.15em; margin: 2em 0 .3em }
p { margin: .4em 0; max-width: 46em } .small { color: #555; font-size: .88em }
table { border-collapse: collapse; margin: .6em 0 } th, td { padding: .25em .9em .25em 0; text-align: left }
th { border-bottom: 1px solid #999; font-weight: normal; color: #555 } td.n { text-align: right }
tr.main td { font-weight: bold } code { font-size: .85em; overflow-wrap: anywhere }
.rule { border-left: .4em solid #8a8a8a; padding: .5em 1em; margin: 1em 0; background: #f5f5f5 }
.rule.yes { border-color: #009e73 } .rule.no { border-color: #a63603 } .rule ul { margin: .3em 0 }
svg { max-width: 100%; height: auto }
</style></head><body>
<h1>{{ r.model }}: {{ r.challenger.version }}
{%- if r.champion %} against {{ r.champion.version }}{% endif %}</h1>
{% if r.champion %}
<p>The challenger, {{ r.challenger.version }}, beside the champion, {{ r.champion.version }}, on
{{ "{:,}".format(r.holdout.rows) }} labelled rows of {{ r.bootstrap.blocks }} days
({{ r.blocks[0].block }} to {{ r.blocks[-1].block }}) that neither was fitted on.</p>
{% else %}
<p>No package of {{ r.model }} is pinned yet, so there is nothing to compare this one with.</p>
{% endif %}
<div class="rule {{ 'yes' if r.rule.passes else 'no' }}"><b>By the declared rule:
{{ 'it may replace the champion' if r.rule.passes and r.champion else 'it may be pinned' if r.rule.passes
   else 'a person has to decide' }}.</b>
<ul>{% for reason in r.rule.reasons %}<li>{{ reason }}</li>{% endfor %}</ul></div>
{% if r.champion %}
<h2>Metrics</h2>
<table><tr><th>metric</th><th>champion</th><th>challenger</th><th>gain (95 % interval)</th></tr>
{% for name, one in metrics %}<tr{% if name == r.metric %} class="main"{% endif %}>
<td>{{ name }} <span class="small">{{ one.better }} is better</span></td>
<td class="n">{{ number(one.champion) }}</td>
<td class="n">{{ number(one.challenger) }}</td>
<td>{{ gain(one) }}</td></tr>{% endfor %}</table>
<p class="small">A gain above 0 is an improvement, whichever way the metric points. Its interval comes from
drawing whole days again, {{ "{:,}".format(r.bootstrap.resamples) }} times, for both packages alike: if it
holds 0, the difference may be chance. The rule looks at <b>{{ r.metric }}</b>.</p>
<h2>Where it gains, where it loses</h2>
{{ pictures.gains }}
<p class="small">In brackets: rows. Values of few rows are shown and judged together.</p>
<h2>Day by day</h2>
{{ pictures.days }}
<p class="small">A gain that rests on one or two days is worth less than one of most days.
{%- if r.metric == "auc" %} Within a day only its own rows are ranked; all rows together also rank days
against each other, so the whole may gain more than its days.{% endif %}</p>
<h2>Do predictions come true?</h2>
{{ pictures.reliability }}
<p class="small">Ten groups of equally many rows by prediction. On the orange line, what was predicted is what
came true. Mean distance from it: champion {{ number(r.calibration.champion.error) }}, challenger
{{ number(r.calibration.challenger.error) }}.</p>
<h2>What consumers would notice</h2>
{% if r.movement.rows %}{{ pictures.moved }}
<p>{{ "{:,}".format(r.movement.rows) }} live rows of the last {{ r.movement.runs }} runs, scored by both.
Scores move by {{ number(r.movement.mean_absolute) }} on average, at most by
{{ number(r.movement.largest) }}; nine in ten change by
{{ signed(r.movement.p05) }} to {{ signed(r.movement.p95) }}.
{% if r.movement.label_changed is not none %}The label changes for
{{ "{:.1%}".format(r.movement.label_changed) }} of them.{% endif %} Of the tenth with the highest scores,
{{ "{:.0%}".format(r.movement.top_tenth_kept) }} stay in it.</p>
{% else %}<p>No live rows could be scored with both.</p>{% endif %}
{% for line in r.movement.left_out %}<p class="small">Left out: {{ line }}</p>{% endfor %}
<h2>What was compared</h2>
<table><tr><th></th><th>champion {{ r.champion.version }}</th>
<th>challenger {{ r.challenger.version }}</th></tr>
{% for label, name in facts %}<tr><td>{{ label }}</td>{% for side in (r.champion, r.challenger) %}
<td><code>{{ side[name] }}</code></td>{% endfor %}</tr>{% endfor %}
<tr><td>scored the hold-out with</td>{% for side in (r.champion, r.challenger) %}<td>{{ fits[side.fit] }}</td>
{% endfor %}</tr>
<tr><td>recorded metrics measured again</td>{% for side in (r.champion, r.challenger) %}<td>
{{ side.reproduced.refused if side.reproduced.erased else
"the same to the last bit" if not side.reproduced.ulps else "within %d ULP, by other library versions" %
side.reproduced.ulps }}, {{ "{:,}".format(side.reproduced.rows) }} rows</td>{% endfor %}</tr></table>
<p class="small">Hold-out: {{ r.holdout.origin }}, snapshot <code>{{ r.holdout.snapshot_digest }}</code>,
labels known by {{ r.holdout.as_of }}.</p>
{% else %}
<p>Its recorded metrics, measured again on its own hold-out to the last bit:</p>
<table>{% for name, value in r.challenger.metrics.items() %}<tr><td>{{ name }}</td>
<td class="n">{{ number(value) }}</td></tr>{% endfor %}</table>
{% endif %}
</body></html>
"""

_FACTS = (
    ("trained on", "window"),
    ("rows", "rows"),
    ("code", "code_revision"),
    ("file", "sha256"),
    ("snapshot", "snapshot_digest"),
)
_FITS = {
    "final": "its final fit, which ended before the hold-out",
    "evaluation": "its fit on the rows before the hold-out",
}


def comparison_html(report: ComparisonReport | FirstReport) -> str:
    """Write the page of a comparison.

    Returns
    -------
    str
        HTML with its pictures and styles inside; no script, and nothing is loaded.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    pictures, metrics = {}, []
    if isinstance(report, ComparisonReport):
        metrics = report.main_first()
        drawn = {
            "gains": charts.gains(report),
            "days": charts.gains_by_day(report),
            "reliability": charts.reliability(report),
            "moved": charts.moved_scores(report),
        }
        pictures = {name: jinja2.filters.do_mark_safe(svg(chart)) for name, chart in drawn.items()}
    return environment.from_string(_PAGE).render(
        r=report,
        metrics=metrics,
        pictures=pictures,
        facts=_FACTS,
        fits=_FITS,
        number=number_in_words,
        signed=signed_in_words,
        gain=gain_in_words,
    )
