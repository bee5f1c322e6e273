/** What went wrong, in words. */

import { hasText, number, t } from "./texts.js";

/** A failure of an engine. `status` is the service's, 0 where there was no answer; `detail` are its own words. */
export class EngineError extends Error {
  constructor(kind, { status = 0, detail = null, retryAfter = null } = {}) {
    super(detail ?? kind);
    Object.assign(this, { kind, status, detail, retryAfter });
  }
}

/** Whether somebody cancelled. */
export function isCancelled(error) {
  return error?.name === "AbortError";
}

/** The words for any failure: {title, detail}, detail null where there is nothing to add. */
export function explain(error) {
  if (isCancelled(error)) return { title: t("error.cancelled"), detail: null };
  if (!(error instanceof EngineError))
    return { title: t("error.unexpected"), detail: error?.message ? String(error.message) : null };
  const key = `error.${error.status || error.kind}`;
  return { title: hasText(key) ? t(key) : t("error.refused", { status: error.status }), detail: error.detail };
}

/** Whether trying again later may help. */
export function isBusy(error) {
  return error instanceof EngineError && (error.status === 429 || error.status === 503) && error.retryAfter !== null;
}

/** Run something; where the service is busy, wait as long as it asks and try again, a few times. */
export async function patiently(run, { signal, onWait = () => {}, tries = 6, longest = 30 }) {
  for (let left = tries; ; left--) {
    try {
      return await run();
    } catch (error) {
      if (!isBusy(error) || left <= 1) throw error;
      const seconds = Math.min(longest, Math.max(0.1, error.retryAfter));
      onWait(t("error.waiting", { seconds: number(seconds, 1) }));
      await pause(seconds * 1000, signal);
      onWait(null);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
