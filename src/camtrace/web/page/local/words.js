// Numbers and texts written as Python writes them, so that the words of a verdict are the same.

/** `f"{share:.1%}"`. */
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)}%`;

/** `round(value, digits)`. */
export const round = (value, digits) => Number(value.toFixed(digits));

/** `f"{value:.3g}"`. */
export function significant(value, digits = 3) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (power < -4 || power >= digits) return `${shorten(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  return shorten(value.toFixed(digits - 1 - power));
}

const shorten = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/** `str(float)`: 1.0, 0.01, 1e-05. */
export function float(value) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [mantissa, exponent] = value.toExponential().split("e");
    return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** `repr(bytes)`. */
export function bytes(data) {
  const named = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };
  const shown = (byte) => named[byte] ?? (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${hex(byte)}`);
  const text = Array.from(data, shown).join("");
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  return `b${quote}${quote === "'" ? text.replaceAll("'", "\\'") : text}${quote}`;
}

/** Two digits for each byte. */
export const hex = (...data) => data.map((byte) => byte.toString(16).padStart(2, "0")).join("");

const WHITE = /[\s\x1c-\x1f\x85]+/u;

/** `" ".join(text.split())`. */
export const tidy = (text) => text.split(WHITE).filter(Boolean).join(" ");

const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Text from strangers, safe to show on one line: what breaks lines or turns the reading direction as `\x..` (camtrace.screening). */
export function visible(text, longest = 1000) {
  const letters = [...text];
  const cut = letters.length <= longest ? text : `${letters.slice(0, longest - 3).join("")}...`;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (letter) => ESCAPES[letter] ?? escaped(letter.codePointAt(0)));
}

function escaped(code) {
  const [kind, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${kind}${code.toString(16).padStart(digits, "0")}`;
}
