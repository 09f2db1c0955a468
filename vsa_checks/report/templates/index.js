"use strict";
(() => {
  const $ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const form = document.querySelector("#filters");
  if (!form) return;
  const status = document.querySelector("#found");
  const fields = ["text", "verdict", "section", "layer"].filter((name) => form.elements[name]);
  const ranks = { refuted: "0", chance: "1", holds: "2", "not-checked": "3" };
  const sections = $(".of-paper").map((element) => ({ element, claims: $("article.claim", element) }));
  const names = new Map($("#filters [name=section] option").map((one) => [one.value, one.textContent]));
  const claims = new Map(sections.flatMap((one) => one.claims).map((article) => [article, {
    rows: $(".subjects > tbody", article),
    text: [article.dataset.id, ...$("h4, .answers dd", article).map((one) => one.textContent)].join(" ").toLowerCase(),
  }]));
  const total = [...claims.values()].reduce((sum, claim) => sum + claim.rows.length, 0);

  const wanted = () => Object.fromEntries(fields.map((name) => [name, form.elements[name].value.trim()]));

  const remember = (state) => {
    const kept = new URLSearchParams();
    for (const name of fields) {
      if (state[name]) kept.set(name, name === "section" ? names.get(state[name]) : state[name]);
    }
    const words = kept.toString();
    history.replaceState(null, "", words ? "#?" + words : location.pathname.split("/").pop() || "index.html");
  };

  const show = (keep = true) => {
    const state = wanted();
    const text = (state.text || "").toLowerCase();
    let subjects = 0;
    let seen = 0;
    for (const [article, claim] of claims) {
      const about = claim.text.includes(text);
      const inSection = !state.section || article.dataset.section === state.section;
      let fitting = 0;
      for (const row of claim.rows) {
        const fits = inSection &&
          (!state.verdict || row.dataset.v === ranks[state.verdict]) &&
          (!state.layer || row.dataset.l === state.layer) &&
          (about || row.id.toLowerCase().includes(text.replaceAll("/", ".")));
        if (row.hidden === fits) row.hidden = !fits;
        fitting += fits;
      }
      article.hidden = !fitting;
      // What is said of a claim is of its worst subject: of a layer, only the rows tell.
      if (state.layer && fitting) for (const part of $(".rest, .rest > .table", article)) part.open = true;
      subjects += fitting;
      seen += fitting > 0;
    }
    for (const section of sections) section.element.hidden = section.claims.every((article) => article.hidden);
    status.textContent = seen + " of " + claims.size + " claims, " + subjects + " of " + total + " subjects shown";
    if (keep) remember(state);
  };

  const restore = () => {
    const kept = new URLSearchParams(location.hash.slice(2));
    for (const name of fields) {
      let value = kept.get(name) || "";
      if (name === "section") value = [...names].find(([, words]) => words === value && value)?.[0] || "";
      form.elements[name].value = value;
    }
    show(false);
  };

  // A link to a subject, by its id too, leads to a row that is seen: opened, and not filtered away.
  const follow = () => {
    if (location.hash.startsWith("#?")) {
      restore();
      return;
    }
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      return;
    }
    const target = name && (document.getElementById(name) || document.getElementById("s-" + name.replaceAll("/", ".")) ||
      document.getElementById("claim-" + name));
    if (!target) return;
    if (target.closest("[hidden]")) {
      for (const name of fields) form.elements[name].value = "";
      show(false);
    }
    for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    target.scrollIntoView();
    if (target.id !== name) location.replace("#" + target.id);
  };

  const key = { at: null, v: "v", x: "x", p: "p", q: "q" };
  for (const table of $("table.subjects")) {
    const rows = [...table.tBodies];
    const places = new Map(rows.map((row, at) => [row, at]));
    const number = (row, by) => {
      if (by === "at") return places.get(row);
      const found = row.dataset[key[by]];
      return found === undefined ? NaN : Number(found);
    };
    let by = "at";
    let down = false;
    for (const button of $("thead button", table)) {
      button.hidden = false;
      button.addEventListener("click", () => {
        down = by === button.dataset.sort && !down;
        by = button.dataset.sort;
        const sorted = [...rows].sort((a, b) => {
          const left = number(a, by), right = number(b, by);
          // What has no number stays at the end either way.
          if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
          return (down ? right - left : left - right) || places.get(a) - places.get(b);
        });
        table.append(...sorted);
        for (const other of $("thead button", table)) other.closest("th").setAttribute("aria-sort", "none");
        button.closest("th").setAttribute("aria-sort", down ? "descending" : "ascending");
      });
    }
  }

  const expand = document.querySelector("#expand");
  expand.addEventListener("click", () => {
    const open = expand.getAttribute("aria-pressed") !== "true";
    for (const part of $("#claims details")) part.open = open;
    expand.setAttribute("aria-pressed", String(open));
    expand.textContent = open ? "Collapse all" : "Expand all";
  });
  form.hidden = false;
  form.addEventListener("input", () => show());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => show()));
  addEventListener("hashchange", follow);
  show(false);
  follow();
})();
