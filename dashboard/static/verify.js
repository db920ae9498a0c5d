// Verifies in the browser that an event is in the log, unaltered: RFC 6962 hashes, C2SP tlog-proof, Ed25519.

const utf8 = new TextEncoder();
const ED25519 = 1;

/** @param {...Uint8Array} parts */
async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

/** @param {Uint8Array} bytes */
const hex = (bytes) => [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");

/** @param {string} text */
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** @param {Uint8Array} one @param {Uint8Array} other */
const same = (one, other) => hex(one) === hex(other);

/**
 * RFC 9162, section 2.1.3.2.
 * @param {bigint} index @param {bigint} size @param {Uint8Array} leaf @param {Uint8Array[]} path
 */
async function rootOf(index, size, leaf, path) {
  if (index >= size) throw new Error("the event is not in the signed tree: its number is not below the tree's size");
  let [node, last, hash] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) throw new Error("the proof has too many hashes");
    if (node % 2n === 1n || node === last) {
      hash = await sha256(Uint8Array.of(1), sibling, hash);
      while (node % 2n === 0n && node !== 0n) { node >>= 1n; last >>= 1n; }
    } else {
      hash = await sha256(Uint8Array.of(1), hash, sibling);
    }
    node >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw new Error("the proof has too few hashes");
  return hash;
}

/** @param {string} text */
function parseProof(text) {
  const [head, ...rest] = text.split("\n\n");
  const lines = head.split("\n");
  if (lines.shift() !== "c2sp.org/tlog-proof@v1") throw new Error("this is no proof file");
  if (!lines[0]?.startsWith("extra ")) throw new Error("the proof has no entry of the log");
  const entry = fromBase64(lines.shift()?.slice(6) ?? "");
  const index = BigInt(lines.shift()?.replace(/^index /, "") ?? "");
  return { entry, index, path: lines.map(fromBase64), note: rest.join("\n\n") };
}

/** @param {string} note */
function parseNote(note) {
  const end = note.indexOf("\n\n");
  const text = note.slice(0, end + 1);
  const [origin, size, root] = text.split("\n");
  const signatures = note.slice(end + 2).split("\n").filter(Boolean).map((line) => {
    const [, name, value] = line.split(" ");
    return { name, value: fromBase64(value) };
  });
  return { text, origin, size: BigInt(size), root: fromBase64(root), signatures };
}

/**
 * Whether one of the log's keys signed the note.
 * @param {{text: string, origin: string, signatures: {name: string, value: Uint8Array}[]}} note @param {string[]} keys
 */
async function signedBy(note, keys) {
  for (const key of keys) {
    const [name, id, ...rest] = key.split("+");
    const data = fromBase64(rest.join("+"));  // base64 has plus signs too
    if (name !== note.origin || data[0] !== ED25519) continue;
    const publicKey = await crypto.subtle.importKey("raw", data.slice(1), { name: "Ed25519" }, false, ["verify"]);
    for (const { name: signer, value } of note.signatures) {
      if (signer !== name || hex(value.slice(0, 4)) !== id) continue;
      if (await crypto.subtle.verify({ name: "Ed25519" }, publicKey, value.slice(4), utf8.encode(note.text))) return key;
    }
  }
  throw new Error("no key of the log has signed the tree head");
}

/** @param {string} url */
async function get(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for ${new URL(url, location.href).pathname}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * @param {string} event
 * @param {{stored: string, proof: string, keys: string}} from the addresses of the stored bytes, the proof and the keys
 * @param {(text: string) => void} done
 */
async function verify(event, from, done) {
  const text = (/** @type {Uint8Array} */ bytes) => new TextDecoder().decode(bytes);
  const body = await get(from.stored);
  const digest = await sha256(body);
  done(`The stored event has ${body.length} bytes; their SHA-256 is ${hex(digest)}.`);

  const proof = parseProof(text(await get(`${from.proof}${from.proof.includes("?") ? "&" : "?"}head=newest`)));
  const fields = text(proof.entry).split("\n");
  if (fields[0] !== "audit-trail-entry/1" || fields.length !== 9) throw new Error("the entry of the log has another form");
  if (BigInt(fields[1]) !== proof.index) throw new Error("the entry is of another number");
  if (fields[2] !== event.replaceAll("-", "")) throw new Error("the entry is of another event");
  if (fields[7] !== hex(digest)) throw new Error("the stored event is not the one that was sealed: its SHA-256 differs");
  done(`Entry ${proof.index} of the log has this event's id and this SHA-256.`);

  const note = parseNote(proof.note);
  const leaf = await sha256(Uint8Array.of(0), proof.entry);
  const root = await rootOf(proof.index, note.size, leaf, proof.path);
  if (!same(root, note.root)) throw new Error("the proof leads to another root hash than the signed one");
  done(`${proof.path.length} hashes lead from the entry to the root hash of the tree of ${note.size} events.`);

  const key = await signedBy(note, text(await get(from.keys)).split("\n").filter(Boolean));
  done(`The tree head is signed by the key ${key} (Ed25519). Compare this key with the one you were given elsewhere.`);
  const others = note.signatures.filter((each) => each.name !== note.origin).map((each) => each.name);
  done(others.length ? `It also has cosignatures of ${others.join(", ")}; check them with a third party's program.` : "No witness has cosigned this head yet.");
}

/** @param {HTMLElement} place */
export function offerVerification(place) {
  const button = /** @type {HTMLButtonElement} */ (place.querySelector("button"));
  const steps = /** @type {HTMLElement} */ (place.querySelector(".steps"));
  const say = (/** @type {string} */ text, /** @type {string} */ kind) => {
    const line = document.createElement("li");
    line.className = kind;
    line.textContent = text;
    steps.append(line);
  };
  button.hidden = false;
  button.addEventListener("click", async () => {
    steps.replaceChildren();
    button.disabled = true;
    try {
      const { event = "", stored = "", proof = "", keys = "" } = place.dataset;
      await verify(event, { stored, proof, keys }, (text) => say(text, "ok"));
      say("Genuine: this event is in the signed log, unaltered.", "ok");
    } catch (error) {
      say(`NOT verified: ${error instanceof Error ? error.message : error}.`, "bad");
    }
    button.disabled = false;
  });
}
