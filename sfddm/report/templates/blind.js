// A blind judgement of two rows of samples from the same noise; the votes are saved as a file.
"use strict";
(() => {
  const parts = JSON.parse(document.querySelector('script[type="application/json"]').textContent);
  const form = document.querySelector("form");
  if (!form) return;
  const [judging, outcome] = [document.querySelector(".judging"), document.querySelector(".outcome")];
  const { experiment, one, other } = form.elements;
  let part, rows, strips, pairs, votes;

  const fill = () => {
    part = parts[experiment.value];
    for (const select of [one, other]) {
      select.replaceChildren(...part.rows.map((row, index) => new Option(row.title, index)));
    }
    other.value = 1;
  };

  const shuffled = values => {
    for (let last = values.length - 1; last > 0; last--) {
      const pick = Math.floor(Math.random() * (last + 1));
      [values[last], values[pick]] = [values[pick], values[last]];
    }
    return values;
  };

  const loaded = row => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.src = row.strip;
  });

  const start = async () => {
    if (one.value === other.value) return other.setCustomValidity("Choose two different rows.") || form.reportValidity();
    rows = [part.rows[one.value], part.rows[other.value]];
    strips = await Promise.all(rows.map(loaded));
    const noises = shuffled([...Array(part.count).keys()]);
    pairs = noises.map(noise => ({ noise, left: Math.random() < 0.5 ? 0 : 1 }));
    votes = [];
    outcome.hidden = true;
    judging.hidden = false;
    form.hidden = true;
    show();
  };

  const show = () => {
    if (votes.length === pairs.length) return end();
    const { noise, left } = pairs[votes.length];
    document.querySelector(".progress").textContent = `Pair ${votes.length + 1} of ${pairs.length}`;
    for (const [side, which] of [["left", left], ["right", 1 - left]]) {
      const canvas = document.querySelector(`canvas.${side}`);
      [canvas.width, canvas.height] = [part.width, part.height];
      // One clear pixel lies between two images of a strip.
      canvas.getContext("2d").drawImage(strips[which], -noise * (part.width + 1), 0);
    }
  };

  const vote = side => {
    const { noise, left } = pairs[votes.length];
    const [l, r] = [rows[left].name, rows[1 - left].name];
    votes.push({ noise, left: l, right: r, vote: side, chosen: { left: l, right: r }[side] ?? null });
    show();
  };

  const wins = name => votes.filter(one => one.chosen === name).length;
  // Two-sided sign test: how likely a split at least this uneven is among n votes at even odds.
  const chance = (few, n) => {
    let [term, sum] = [0.5 ** n, 0];
    for (let k = 0; k <= few; k++) {
      sum += term;
      term *= (n - k) / (k + 1);
    }
    return Math.min(1, 2 * sum);
  };

  const end = () => {
    judging.hidden = true;
    outcome.hidden = form.hidden = false;
    const [a, b] = rows.map(row => wins(row.name));
    document.querySelector(".result").textContent = `${rows[0].title}: ${a}. ${rows[1].title}: ${b}. Undecided: ` +
      `${votes.length - a - b}. Sign test, two-sided: p = ${chance(Math.min(a, b), a + b).toPrecision(2)}.`;
  };

  const save = () => {
    const { experiment, seed, commit } = part;
    const counts = Object.fromEntries(rows.map(row => [row.name, wins(row.name)]));
    const file = { schema: 1, experiment, seed, commit, rows: rows.map(row => row.name), counts, votes };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2) + "\n"], { type: "application/json" }));
    link.download = `votes-${part.experiment}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  experiment.append(...parts.map((some, index) => new Option(some.title, index)));
  experiment.addEventListener("input", fill);
  form.addEventListener("input", () => other.setCustomValidity(""));
  form.addEventListener("submit", event => { event.preventDefault(); start(); });
  judging.addEventListener("click", event => { if (event.target.value) vote(event.target.value); });
  document.querySelector(".stop").addEventListener("click", end);
  document.querySelector(".save").addEventListener("click", save);
  addEventListener("keydown", event => {
    const side = { ArrowLeft: "left", ArrowRight: "right", " ": "neither" }[event.key];
    if (judging.hidden || !side) return;
    event.preventDefault();
    vote(side);
  });
  fill();
})();
