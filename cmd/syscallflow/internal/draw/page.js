"use strict";
(() => {
  const steps = JSON.parse(document.getElementById("steps").textContent) || [];
  const rows = [...document.querySelectorAll("#flow .step")];
  const bars = [...document.querySelectorAll(".strip rect")];
  const put = (id, text) => { document.getElementById(id).textContent = text; };
  let now = 0;

  // All text is put in as text: a recording holds what any program has said.
  function choose(n, scroll, quiet) {
    if (!rows.length) return;
    now = Math.min(Math.max(n, 1), rows.length);
    const s = steps[now - 1];
    rows.forEach((r, i) => r.classList.toggle("now", i === now - 1));
    bars.forEach(b => b.classList.toggle("now", Number(b.dataset.n) === now));
    put("what", now + "/" + rows.length + "  " + s.what);
    put("where", [s.time, s.lanes].filter(Boolean).join(" · "));
    put("why", s.why);
    const man = document.getElementById("man");
    man.textContent = "";
    if (s.link) {
      const a = document.createElement("a");
      a.href = s.link; a.rel = "noreferrer"; a.textContent = "man " + s.man;
      man.append(a);
    }
    put("raw", s.raw.join("\n"));
    if (scroll) rows[now - 1].scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!quiet) history.replaceState(null, "", "#s" + now);
  }

  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 1, End: rows.length }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    choose(to, true);
  });
  for (const r of [...rows, ...bars]) r.addEventListener("click", () => choose(Number(r.dataset.n), false));
  const chips = [...document.querySelectorAll(".chip")];
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      chips.forEach(c => c.setAttribute("aria-pressed", String(on && c === chip)));
      rows.forEach(r => r.classList.toggle("dimmed", on && r.dataset.socket !== chip.dataset.socket));
    });
  }
  choose(Number((location.hash.match(/^#s(\d+)$/) || [])[1]) || 1, Boolean(location.hash), true);
})();
