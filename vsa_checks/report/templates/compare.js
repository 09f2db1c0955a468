"use strict";
(() => {
  const $ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const body = document.querySelector("#grid tbody");
  const form = document.querySelector("#filters");
  if (!body || !form) return;
  const rows = $("tr", body);
  const status = document.querySelector("#found");
  const fields = ["text", "verdict", "section", "differs"];
  const paper = new Map(rows.map((row, at) => [row, at]));
  let order = "paper";
  let down = false;

  const wanted = () => ({
    text: form.elements.text.value.trim().toLowerCase(),
    verdict: form.elements.verdict.value,
    section: form.elements.section.value,
    differs: form.elements.differs.checked ? "yes" : "",
  });

  const remember = (state) => {
    const kept = new URLSearchParams();
    for (const name of fields) if (state[name]) kept.set(name, state[name]);
    if (order !== "paper" || down) kept.set("sort", (down ? "-" : "") + order);
    const words = kept.toString();
    history.replaceState(null, "", words ? "#?" + words : location.pathname.split("/").pop() || "index.html");
  };

  const show = (keep = true) => {
    const state = wanted();
    let seen = 0;
    for (const row of rows) {
      const fits = (!state.text || row.dataset.text.includes(state.text)) &&
        (!state.verdict || row.dataset.verdicts.split(" ").includes(state.verdict)) &&
        (!state.section || row.dataset.section === state.section) &&
        (!state.differs || row.dataset.differs === "yes");
      row.hidden = !fits;
      seen += fits;
    }
    status.textContent = seen + " of " + rows.length + " claims shown";
    if (keep) remember(state);
  };

  const key = (row) => {
    if (order === "paper") return [paper.get(row)];
    if (order === "name") return [row.dataset.id];
    const cell = row.cells[Number(order) + 1];
    return cell.dataset.rank === undefined ? [9, 0] : [Number(cell.dataset.rank), Number(cell.dataset.slack)];
  };

  const sort = () => {
    const keys = new Map(rows.map((row) => [row, key(row)]));
    const compare = (a, b) => {
      const left = keys.get(a), right = keys.get(b);
      for (let at = 0; at < left.length; at++) {
        if (left[at] !== right[at]) return left[at] < right[at] ? -1 : 1;
      }
      return paper.get(a) - paper.get(b);
    };
    rows.sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
    body.append(...rows);
    for (const button of $("#grid thead button")) {
      const here = button.dataset.order === order;
      button.closest("th").setAttribute("aria-sort", here ? (down ? "descending" : "ascending") : "none");
    }
  };

  for (const button of $("#grid thead button")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      down = order === button.dataset.order && !down;
      order = button.dataset.order;
      sort();
      remember(wanted());
    });
  }
  if (location.hash.startsWith("#?")) {
    const kept = new URLSearchParams(location.hash.slice(2));
    for (const name of fields) {
      const value = kept.get(name);
      if (value === null) continue;
      if (name === "differs") form.elements.differs.checked = true;
      else form.elements[name].value = value;
    }
    const given = kept.get("sort") || "paper";
    down = given.startsWith("-");
    const asked = given.replace(/^-/, "");
    if ($("#grid thead button").some((button) => button.dataset.order === asked)) order = asked;
  }
  form.hidden = false;
  form.addEventListener("input", () => show());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { order = "paper"; down = false; sort(); show(); }));
  sort();
  show(false);
})();
