"use strict";

// Times of this place, on request.
const times = [...document.querySelectorAll("time")].map((element) => ({ element, utc: element.textContent }));
const column = document.getElementById("time");
if (column) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Local times";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(on));
    column.textContent = `Time (${on ? zone : "UTC"})`;
    for (const { element, utc } of times) element.textContent = on ? local.format(new Date(element.dateTime)) : utc;
  });
  document.querySelector(".title").append(button);
}

// Examples as commands; a browser gives a page the clipboard over https and on loopback only.
if (navigator.clipboard) {
  for (const link of document.querySelectorAll(".examples a")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy as a curl command: ${link.textContent}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(`curl "${link.href}"`);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    link.after(" ", button);
  }
}

// What the pipeline does now, and the news of another snapshot. The page stays as it is until its reader wants that one.
// Only a page that is seen listens, as a browser keeps six connections to a host for all its pages.
const newest = document.querySelector("meta[name=snapshot]");
if (newest) {
  const newer = document.getElementById("newer");
  const pipeline = document.getElementById("pipeline");
  const tell = ({ data }) => {
    const { snapshot, runs, pages } = JSON.parse(data).state;
    const done = `${pages.fresh.toLocaleString("en")} of ${pages.asked.toLocaleString("en")} pages fresh`;
    pipeline.querySelector("dd").textContent = `${runs.processing ? "running" : "idle"}, ${done}`;
    pipeline.hidden = false;
    if (!snapshot || snapshot.id === newest.content || newer.firstChild) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Load it";
    button.addEventListener("click", () => location.reload());
    newer.append("There is a newer snapshot. ", button);
  };
  let events;
  const listen = () => {
    events?.close();
    if (document.hidden) return;
    events = new EventSource("/events");
    events.addEventListener("state", tell);
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}
