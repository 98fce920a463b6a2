// Sorts and filters the tables of figures, shows what stands behind a figure, and opens what a link leads to.
// Everything that it shows is on the page without it.
"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  // Links: whatever is folded around the target opens, and a table that another one has replaced comes back.
  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const scroll = target.closest("[data-metric]");
    if (scroll && scroll.hidden) choose(scroll.dataset.metric);
    const row = target.closest("tr");
    if (row && row.hidden) reset();
    for (let around = target; around; around = around.parentElement) {
      if (around.tagName === "DETAILS") around.open = true;
    }
    target.scrollIntoView();
  };

  // Filters. Metrics: the main table and the further ones, one at a time, in the main one's place.
  const form = document.querySelector("form.choices");
  const tables = all("[data-metric]");
  const place = form && form.parentElement.querySelector("[data-metric]");
  const homes = new Map(tables.map(table => [table, [table.parentElement, table.nextSibling]]));
  const shown = () => tables.find(table => table.dataset.metric === form.elements.metric.value) || place;

  const choose = metric => {
    form.elements.metric.value = metric;
    for (const table of tables) {
      const [parent, next] = homes.get(table);
      if (table !== place) parent.insertBefore(table, next);
      table.hidden = false;
    }
    const table = shown();
    if (table !== place) {
      place.before(table);
      place.hidden = true;
    }
    offer("extractor", all("th[data-extractor]", table).map(head => head.dataset.extractor));
    offer("steps", all("th[data-steps]", table).map(head => head.dataset.steps));
    filter();
  };

  const offer = (name, values) => {
    const select = form.elements[name];
    const chosen = select.value;
    const options = [...new Set(values)].map(value => new Option(value, value));
    select.replaceChildren(select.options[0], ...options);
    select.value = values.includes(chosen) ? chosen : "";
    select.parentElement.hidden = options.length < 2;
  };

  const filter = () => {
    const { extractor, steps, seed, method } = form.elements;
    for (const table of tables) {
      const mine = table === shown();
      const groups = all("th[data-extractor]", table).map(head =>
        !mine || !extractor.value || head.dataset.extractor === extractor.value);
      const admitted = cell => groups[cell.dataset.group] && (!mine || !steps.value || !cell.dataset.steps ||
        cell.dataset.steps === steps.value);
      for (const cell of all("th[data-steps], td[data-group]:not([colspan])", table)) cell.hidden = !admitted(cell);
      for (const cell of all("th[data-extractor], td[colspan]", table)) {
        const columns = all(`th[data-steps][data-group="${cell.dataset.group}"]`, table).filter(admitted).length;
        cell.hidden = !groups[cell.dataset.group] || (Boolean(steps.value) && mine && !columns);
        cell.colSpan = Math.max(1, columns);
      }
      const part = mine ? method.value.trim().toLowerCase() : "";
      for (const row of all("tr[data-method]", table)) row.hidden = !row.dataset.method.toLowerCase().includes(part);
      ofSeed(table, mine && seed ? seed.value : "");
    }
  };

  // One training seed's figures in the place of the means. Marks and shades are of the means, so they step back.
  const means = new Map();
  const ofSeed = (table, seed) => {
    table.classList.toggle("of-one-seed", Boolean(seed));
    for (const cell of all("[data-seeds]", table)) {
      const [value, interval] = [cell.querySelector("data"), cell.querySelector(".interval")];
      if (!means.has(cell)) means.set(cell, [value.textContent, interval && interval.textContent, value.value]);
      const [text, range, number] = means.get(cell);
      const own = seed && cell.dataset.seeds.split(";").map(one => one.split(" ")).find(one => one[0] === seed);
      value.textContent = own ? own[1].replace("-", "−") : text;
      value.value = own ? own[1] : number;
      if (interval) interval.textContent = own ? own.slice(2).join(" ").replaceAll("-", "−") : range;
    }
  };

  const reset = () => {
    form.reset();
    choose(place.dataset.metric);
  };

  // Sorting: by a column's figures, what was not measured last; a third time gives the order of the spec.
  const sortable = table => {
    const body = table.querySelector("tbody:not(.reference)");
    const original = [...body.rows];
    for (const head of all("th.sorts", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...head.childNodes);
      head.append(button);
      const key = row => {
        const { group, steps } = head.dataset;
        if (!group) return row.cells[0].textContent.trim().toLowerCase();
        const figure = row.querySelector(`td[data-group="${group}"][data-steps="${steps}"] data`);
        return figure ? Number(figure.value) : NaN;
      };
      const compare = sign => (one, other) => {
        const [a, b] = [key(one), key(other)];
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return sign * (a > b ? 1 : a < b ? -1 : 0);
      };
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
        all("[aria-sort]", table).forEach(one => one.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        body.append(...(next ? [...original].sort(compare(next === "ascending" ? 1 : -1)) : original));
      });
    }
  };

  // What stands behind a figure: its interval, protocol and seeds, at the pointer or under the finger.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  const words = element => element.textContent.trim().replace(/\s+/g, " ");
  const behind = cell => {
    const { steps, group } = cell.closest("td").dataset;
    const label = cell.closest("table").querySelector(`th[data-extractor][data-group="${group}"]`).dataset.extractor;
    const seeds = (cell.dataset.seeds || "").replaceAll("-", "−").split(";").filter(Boolean).map(one => `seed ${one}`);
    const place = [words(cell.closest("tr").cells[0]), ...(steps ? [`${steps} steps`] : [])].join(", ");
    return [`${place}: ${words(cell)}`, label, ...seeds].join(" · ");
  };
  const tell = event => {
    const link = event.target.closest("svg a");
    const name = link && (link.getAttribute("href") || link.getAttribute("xlink:href") || "").slice(1);
    const cell = (name && document.getElementById(name)) || event.target.closest('[id^="cell-"]');
    tip.hidden = !cell;
    if (!cell) return;
    tip.textContent = behind(cell);
    const width = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 16}px`;
  };
  document.addEventListener("pointerover", tell);
  document.addEventListener("click", event => {
    tell(event);
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash && link.hash === location.hash) follow();
  });
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  all("table.metric").forEach(sortable);
  if (form && place) {
    form.hidden = false;
    form.addEventListener("input", event => event.target.name === "metric" ? choose(event.target.value) : filter());
    form.addEventListener("submit", event => event.preventDefault());
    choose(place.dataset.metric);
  }
  addEventListener("hashchange", follow);
  if (location.hash) follow();
})();
