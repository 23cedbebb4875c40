# SPDX-License-Identifier: Apache-2.0
"""How the page looks, in light and in dark."""

__all__ = ["STYLE"]

_LIGHT = """
  --ground: #fcfcfb; --panel: #ffffff; --ink: #1b1b1a; --faint: #6a6a66; --line: #deded9;
  --lane: #f1f1ee; --accent: #2a78d6;
  --busy: #2a78d6; --cb: #eda100; --bank: #1baf7a; --ls: #6a5bc2; --mem: #e05a4f;
"""
_DARK = """
  --ground: #161615; --panel: #1e1e1c; --ink: #ecece8; --faint: #a3a39c; --line: #3a3a36;
  --lane: #262624; --accent: #5a9df0;
  --busy: #3987e5; --cb: #b57d00; --bank: #199e70; --ls: #9085e9; --mem: #e66767;
"""

STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ {_LIGHT} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1080px; padding: 28px 24px 60px; background: var(--ground);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 24px; line-height: 1.25; margin: 0 0 4px; }}
h2 {{ font-size: 18px; margin: 0 0 8px; }}
h3 {{ font-size: 15px; margin: 24px 0 4px; }}
p {{ margin: 4px 0 12px; max-width: 80ch; }}
section {{ background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin-top: 20px; }}
.sub, .note, footer {{ color: var(--faint); }}
.note, footer {{ font-size: 13px; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px;
  margin: 18px 0; }}
.card {{ border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px;
  background: var(--panel); }}
.card b {{ display: block; font-size: 26px; font-weight: 600; line-height: 1.2; }}
.card span {{ color: var(--faint); font-size: 13px; }}
.side {{ display: flex; flex-wrap: wrap; gap: 12px 32px; align-items: flex-start; }}
.scroll {{ overflow-x: auto; margin: 8px 0; max-width: 100%; }}
table {{ border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }}
tbody th {{ font-weight: 400; color: var(--faint); white-space: nowrap; }}
thead th {{ font-weight: 600; font-size: 13px; vertical-align: bottom; }}
td {{ white-space: nowrap; }}
.figures td, .figures thead th:not(:first-child) {{ text-align: right; padding: 4px 6px 4px 16px; }}
.tight {{ font-size: 13px; }}
.tight td, .tight thead th:not(:first-child) {{ padding: 4px 4px 4px 12px; }}
.tight thead th:not(.text) {{ white-space: nowrap; }}
.figures thead th.text {{ text-align: left; padding: 4px 14px 4px 0; }}
svg {{ display: block; width: 100%; height: auto; margin: 8px 0; }}
svg text {{ fill: var(--ink); font-size: 12px; }}
.roofs text {{ paint-order: stroke; stroke: var(--panel); stroke-width: 4px; }}
svg .middle {{ text-anchor: middle; }}
svg .end {{ text-anchor: end; }}
.map text {{ font-size: 11px; }}
svg .title, svg .strong {{ font-weight: 600; }}
svg text.faint {{ fill: var(--faint); font-size: 11px; }}
.maps {{ display: flex; flex-wrap: wrap; gap: 8px 20px; }}
.map {{ max-width: 100%; }}
.wide svg {{ min-width: 700px; }}
.legend {{ display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; max-width: none; }}
.swatch {{ display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; }}
.lane, .cell {{ fill: var(--lane); }}
.cell {{ stroke: var(--line); }}
.axis, .grid {{ stroke: var(--line); }}
.roof {{ stroke: var(--ink); stroke-width: 2; }}
.unused {{ stroke: var(--faint); stroke-width: 1.5; stroke-dasharray: 6 4; }}
.once {{ stroke: var(--faint); stroke-dasharray: 2 4; }}
.gap {{ stroke: var(--accent); stroke-dasharray: 3 3; }}
.point {{ fill: var(--accent); stroke: var(--panel); stroke-width: 2; }}
"""
for _name in ("busy", "cb", "bank", "ls", "mem"):
    STYLE += f"""
.c-{_name} {{ fill: var(--{_name}); background: var(--{_name}); }}"""
