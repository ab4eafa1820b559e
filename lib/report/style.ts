/** Of the page: light and dark, from a telephone to a wide screen. */
export const style = `
:root { color-scheme: light dark; --text: #1c1c1e; --back: #fff; --grid: #ddd; --accent: #b00020; --muted: #667; --faint: #b4b6bd; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8ea; --back: #16181c; --grid: #3a3d44; --accent: #ff8a80; --muted: #9aa; --faint: #6a6e78; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1320px; margin: 0 auto; padding: 0 16px 48px; }
h1 { margin: 24px 0 4px; } h2 { margin: 32px 0 8px; font-size: 20px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; }
figure { margin: 0; } figcaption { color: var(--muted); font-size: 14px; } .plots svg { width: 100%; height: auto; } .wide svg { display: block; max-width: none; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 6px; margin-right: 6px; }
small, .muted { color: var(--muted); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 18px 4px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--back); }
.names2 th:nth-child(2), .names2 td:nth-child(2) { text-align: left; }
@media (max-width: 560px) { .plots text { font-size: 15px; } th:first-child, td:first-child { white-space: normal; max-width: 150px; overflow-wrap: break-word; } }
 tr.chosen { color: var(--accent); font-weight: 600; }
.why { margin-top: 24px; border-left: 4px solid var(--accent); padding: 4px 16px; } .warning { color: var(--accent); }
.why h2 { margin-top: 0; } .why p { margin: 8px 0; } p { max-width: 90ch; } summary { cursor: pointer; }
pre { overflow-x: auto; }`;
