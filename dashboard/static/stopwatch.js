// How long a page was in front of somebody, sent with its form.

/**
 * Count the seconds for which the page is visible, and send them in the form's field `seconds`.
 * @param {HTMLFormElement} form
 */
export function measure(form) {
  let before = 0;
  let since = document.hidden ? 0 : performance.now();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && since) before += performance.now() - since;
    since = document.hidden ? 0 : performance.now();
  });
  form.addEventListener("submit", () => {
    const all = before + (since ? performance.now() - since : 0);
    /** @type {HTMLInputElement} */ (form.elements.namedItem("seconds")).value = String(Math.round(all / 1000));
  });
}
