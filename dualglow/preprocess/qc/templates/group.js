const list = document.getElementById("pairs");
const rows = [...list.children];
const byId = (id) => document.getElementById(id);
const numbers = new Map(rows.map((row) => [row, JSON.parse(row.dataset.numbers)]));
let filter = "all";

function show() {
  const wanted = byId("search").value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = !row.dataset.is.split(" ").includes(filter) || !row.dataset.label.toLowerCase().includes(wanted);
    shown += !row.hidden;
  }
  byId("shown").textContent = shown === rows.length ? "" : `${shown} shown`;
}

function sort() {
  const key = byId("sort").value;
  const place = (row) => (key === "rank" ? Number(row.dataset.rank) : key === "label" ? row.dataset.label : numbers.get(row)[key]?.value ?? Infinity);
  const order = (a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : a.dataset.rank - b.dataset.rank);
  for (const row of [...rows].sort(order)) list.append(row);
  const title = byId("sort").selectedOptions[0].textContent;
  for (const row of rows) {
    const said = numbers.get(row)[key]?.says;
    row.querySelector("[data-sorted]").textContent = said ? `${title}: ${said}` : "";
  }
}

byId("controls").hidden = false;
byId("search").addEventListener("input", show);
byId("sort").addEventListener("change", sort);
for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => {
    filter = button.dataset.filter;
    for (const other of document.querySelectorAll("[data-filter]")) other.setAttribute("aria-pressed", other === button);
    show();
  });
}
show();

// The table of exclusions: what the workflow reads, with the changes made here, which the browser remembers.
const ticks = [...document.querySelectorAll("[data-pair]")];
const area = byId("table");
if (area) {
  const before = area.value;
  const place = `dualglow exclude ${location.pathname}`;
  const reasonOf = (tick) => tick.closest(".pair").querySelector(".why");
  const plain = (text) => text.replace(/\s+/g, " ").replaceAll('"', "'").trim();

  function write() {
    const out = ticks.filter((tick) => tick.checked).sort((a, b) => (a.dataset.pair < b.dataset.pair ? -1 : 1));
    area.value = "pair_id\treason\n" + out.map((tick) => `${tick.dataset.pair}\t${plain(reasonOf(tick).value)}\n`).join("");
    for (const tick of ticks) reasonOf(tick).hidden = !tick.checked;
    const changed = area.value !== before;
    byId("bar").hidden = !changed;
    byId("changed").textContent = `${out.length} ${out.length === 1 ? "pair" : "pairs"} ticked, not yet saved:`;
    byId("said").textContent = "";
    try {
      if (changed) localStorage.setItem(place, JSON.stringify({before, out: out.map((tick) => [tick.dataset.pair, reasonOf(tick).value])}));
      else localStorage.removeItem(place);
    } catch { /* the browser keeps nothing for pages of this kind: then neither do we */ }
  }

  function set(chosen) {
    for (const tick of ticks) {
      tick.checked = chosen.has(tick.dataset.pair);
      reasonOf(tick).value = chosen.get(tick.dataset.pair) ?? "";
    }
    write();
  }

  function remembered() {
    try {
      const kept = JSON.parse(localStorage.getItem(place));
      return kept && kept.before === before ? new Map(kept.out) : null;
    } catch {
      return null;
    }
  }

  const asItWas = new Map(ticks.filter((tick) => "was" in tick.dataset).map((tick) => [tick.dataset.pair, tick.dataset.reason]));
  byId("keep").hidden = false;
  for (const tick of ticks) {
    tick.addEventListener("change", write);
    reasonOf(tick).addEventListener("input", write);
  }
  byId("reset").addEventListener("click", () => set(asItWas));
  byId("copy").addEventListener("click", () => {
    area.select();
    const copied = document.execCommand("copy"); // works from file:// too, in every browser
    byId("said").textContent = copied ? "Copied" : "Selected: copy it with the keyboard";
  });
  byId("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([area.value], {type: "text/tab-separated-values"}));
    link.download = "exclude.tsv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  set(remembered() ?? asItWas);
}
