// What makes the pages live. Every page works without it.
import { measure } from "./stopwatch.js";
import { followEvents } from "./tail.js";
import { offerVerification } from "./verify.js";

/** Tell the server the zone of this browser, once; the address can name another. */
function rememberZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.split("; ").some((each) => each.startsWith("audit-trail-zone="))) return;
  // Only where a reload asks for data again, and only where the browser has kept the cookie.
  if (!document.querySelector("header nav")) return;
  document.cookie = `audit-trail-zone=${encodeURIComponent(zone)}; Path=/; SameSite=Lax; Max-Age=31536000`;
  if (!document.cookie.includes("audit-trail-zone=")) return;
  if (zone !== document.documentElement.dataset.zone && !location.search.includes("zone=")) location.reload();
}

/**
 * Take nodes from the server's own HTML. Only this function may make HTML from text: the policy of the page allows one
 * maker, by name.
 * @param {string} html
 * @returns {DocumentFragment}
 */
function fragment(html) {
  const types = /** @type {any} */ (window).trustedTypes;
  const policy = fragment.policy ??= types?.createPolicy("audit-trail", { createHTML: (/** @type {string} */ text) => text });
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}
/** @type {any} */
fragment.policy = undefined;

/**
 * Fetch a part of the page again while it is visible. A button pauses that.
 * @param {HTMLElement} live
 */
function keepFresh(live) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pause";
  let paused = false;
  const show = () => { button.textContent = paused ? "Follow live" : "Pause"; };
  button.addEventListener("click", () => { paused = !paused; show(); if (!paused) refresh(); });
  show();
  live.before(button);

  async function refresh() {
    if (paused || document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]")) return;
    try {
      const answer = await fetch(/** @type {string} */ (live.dataset.refresh), { headers: { "X-Refresh": "1" } });
      if (answer.status === 401 || answer.redirected) { location.reload(); return; }
      if (answer.ok) { live.replaceChildren(fragment(await answer.text())); brush(live); }
    } catch { /* the server is away: the page says how old it is, and the next attempt comes */ }
  }
  setInterval(refresh, 1000 * Number(live.dataset.seconds));
}

/**
 * Drag over a histogram to narrow the range of times.
 * @param {ParentNode} root
 */
function brush(root) {
  for (const drawing of root.querySelectorAll("[data-brush]")) {
    /** @type {SVGElement | null} */
    let begun = null;
    const slots = [...drawing.querySelectorAll(".slot")];
    const at = (/** @type {Event} */ event) => /** @type {SVGElement | null} */ (/** @type {Element} */ (event.target).closest(".slot"));
    drawing.addEventListener("pointerdown", (event) => { begun = at(event); event.preventDefault(); });
    drawing.addEventListener("dragstart", (event) => event.preventDefault()); // slots are links, which a browser drags away
    drawing.addEventListener("pointerover", (event) => {
      const end = at(event);
      if (!begun || !end) return;
      const [from, to] = [slots.indexOf(begun), slots.indexOf(end)].sort((a, b) => a - b);
      slots.forEach((slot, place) => slot.classList.toggle("brushed", place >= from && place <= to));
    });
    drawing.addEventListener("pointerup", (event) => {
      const end = at(event);
      if (begun && end && end !== begun) {
        const [first, last] = [slots.indexOf(begun), slots.indexOf(end)].sort((a, b) => a - b);
        const link = new URL(begun.closest("a")?.getAttribute("href") ?? "", location.href);
        link.searchParams.set("from", slots[first].getAttribute("data-begin") ?? "");
        link.searchParams.set("to", slots[last].getAttribute("data-end") ?? "");
        drawing.addEventListener("click", (click) => click.preventDefault(), { once: true, capture: true });
        location.assign(link);
      }
      begun = null;
    });
  }
}

rememberZone();
document.querySelectorAll("[data-refresh]").forEach((each) => keepFresh(/** @type {HTMLElement} */ (each)));
brush(document);
document.querySelectorAll("[data-stopwatch]").forEach((each) => measure(/** @type {HTMLFormElement} */ (each)));
const offered = document.getElementById("verify");
if (offered) offerVerification(offered);
const tail = document.getElementById("tail");
if (tail) followEvents(tail, fragment);
