// The list of events that follows the trail. Without this script the page has a link to itself.

const MOST_ROWS = 200;
const LOST_SECONDS = 5;

/**
 * New rows come at the head of the list. While it is paused they are held back and counted.
 * @param {HTMLElement} list
 * @param {(html: string) => DocumentFragment} fragment
 */
export function followEvents(list, fragment) {
  const body = /** @type {HTMLTableSectionElement} */ (list.querySelector("tbody"));
  const region = /** @type {HTMLElement} */ (list.querySelector(".scroll"));
  const bar = /** @type {HTMLElement} */ (list.querySelector(".follow"));
  const button = document.createElement("button");
  const said = document.createElement("span");
  const address = new URL(/** @type {string} */ (list.dataset.live), location.href);
  /** @type {EventSource | null} */
  let source = null;
  let state = "off";
  /** @type {HTMLTableRowElement[]} */
  let held = [];
  let count = 0;
  button.type = "button";
  said.setAttribute("role", "status");
  bar.prepend(button, " ", said, " ");

  function show() {
    const back = count === 1 ? "1 new event held back" : `${count} new events held back`;
    button.textContent = { off: "Follow live", on: "Pause", paused: `Resume (${back})` }[state] ?? "";
  }

  /** @param {string} text */
  function say(text) { said.textContent = text; }

  /** @param {HTMLTableRowElement[]} rows the newest first */
  function put(rows) {
    if (!rows.length) return;
    list.querySelector(".empty")?.remove();
    region.hidden = false;
    body.prepend(...rows);
    while (body.rows.length > MOST_ROWS) body.rows[body.rows.length - 1].remove();
  }

  function open() {
    if (source || state === "off" || document.hidden) return;
    const opened = source = new EventSource(address);
    opened.addEventListener("open", () => say("New events appear here. The numbers above are those of when the page was made."));
    opened.addEventListener("rows", (event) => {
      address.searchParams.set("position", event.lastEventId);
      const rows = [...fragment(event.data).querySelectorAll("tr")];
      if (state !== "paused") { put(rows); return; }
      count += rows.filter((row) => !row.classList.contains("missing")).length;
      held = [...rows, ...held].slice(0, MOST_ROWS);
      show();
    });
    opened.addEventListener("say", (event) => say(event.data));
    opened.addEventListener("end", (event) => stop(event.data));
    // What the server says when the rights of the session have changed.
    opened.addEventListener("complete", () => stop("Your session has ended: reload the page to sign in again."));
    opened.addEventListener("error", () => {
      if (opened.readyState === EventSource.CLOSED) {
        stop("Following has ended: your session may have ended, or the server is away. Reload the page.");
        return;
      }
      setTimeout(() => { if (source === opened && opened.readyState === EventSource.CONNECTING) say("The connection is lost. Trying again."); }, 1000 * LOST_SECONDS);
    });
  }

  function close() { source?.close(); source = null; }

  /** @param {string} why */
  function stop(why) {
    close();
    if (state === "on") state = "off";
    show();
    say(why);
  }

  button.addEventListener("click", () => {
    if (state === "on") { state = "paused"; } else {
      put(held);
      [held, count, state] = [[], 0, "on"];
      open();
    }
    show();
  });
  // A browser opens few connections to one server: a page that nobody sees holds none.
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  show();
}
