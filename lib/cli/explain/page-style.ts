/** The page's style sheet. */
export const style = `
:root {
  --paper: #fbfaf7; --ink: #1d2329; --quiet: #5b6671; --line: #d8d6cf; --card: #ffffff;
  --sender: #0b6bb8; --wire: #8a5a00; --receiver: #1c7a3f; --lit: #ffd84d; --lit-ink: #1d2329;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --ink: #e4e7ea; --quiet: #9aa5b0; --line: #333b43; --card: #1b2126;
    --sender: #6cb8f5; --wire: #e0ac55; --receiver: #6fd08f; --lit: #ffd84d; --lit-ink: #14181c;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; }
header p { margin: 0; color: var(--quiet); max-width: 46rem; }
ol { list-style: none; margin: 1.5rem 0 0; padding: 0; }
.step { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid var(--side);
  border-radius: .4rem; margin: 0 0 1rem; padding: .8rem 1rem; }
.step, .ring { --side: var(--quiet); }
.ring { margin: 1.2rem 0 .5rem; }
h1.queue { font-size: 1.2rem; margin: 2rem 0 0; }
section ol { margin-top: .6rem; }
.step.sender { --side: var(--sender); } .step.wire { --side: var(--wire); } .step.receiver { --side: var(--receiver); }
h2 { font-size: 1rem; font-weight: 400; margin: 0; }
h2 b { color: var(--side); }
h3 { font-size: .9rem; margin: .8rem 0 .2rem; }
h3 a, td a { color: inherit; text-decoration-color: var(--line); }
h3 a:hover { text-decoration-color: currentColor; }
.note { color: var(--quiet); margin: .3rem 0 0; overflow-wrap: anywhere; }
.bytes { font: .85rem/1.6 ui-monospace, monospace; margin: .3rem 0; display: flex; }
.bytes > span:last-child { display: grid; grid-template-columns: repeat(16, max-content); gap: 0 .3rem; }
.bytes b { font-weight: 400; padding: 0 .12rem; border-radius: .15rem; }
.bytes .label { color: var(--quiet); min-width: 3.6rem; font-family: system-ui, sans-serif; }
.bytes b.changed { text-decoration: underline; text-underline-offset: .2rem; }
b.lit, tr.lit td { background: var(--lit); color: var(--lit-ink); }
table { border-collapse: collapse; font-size: .85rem; width: 100%; table-layout: fixed; }
td { border-top: 1px solid var(--line); padding: .12rem .6rem .12rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { padding-left: .3rem; }
td:first-child { width: 26%; }
td.value { font-family: ui-monospace, monospace; }
td.place { color: var(--quiet); font-family: ui-monospace, monospace; }
tr.lit td.place { color: var(--lit-ink); }
nav { position: fixed; inset: auto 0 0 0; display: flex; gap: .5rem; justify-content: center; align-items: center;
  padding: .6rem; background: var(--card); border-top: 1px solid var(--line); }
nav[hidden] { display: none; }
nav button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: .3rem;
  padding: .25rem .8rem; cursor: pointer; }
nav button:focus-visible { outline: 2px solid var(--sender); }
nav span { color: var(--quiet); min-width: 9rem; text-align: center; font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) {
  .bytes > span:last-child { grid-template-columns: repeat(8, max-content); }
  td:first-child { width: 45%; }
  td.place { display: none; }
  nav span { min-width: 6rem; }
}
@media print { nav { display: none; } }
`
