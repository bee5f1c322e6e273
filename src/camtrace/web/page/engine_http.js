/**
 * The engine that asks the service; its twin local/engine.js judges in the browser. Both have this shape:
 *
 * name, can {identify, inspect, compare, localize, enroll, report}, atOnce (photos worth asking about at one time),
 * cameras(), identify(file, options), inspect(file, options), compare(first, second, options); this one also
 * bundles(), localize(file, options), heatmap(file, options), enroll(albums, options), report(file, options).
 * Options: mode, bundle (a name), signal (AbortSignal), onSent (share of the upload that is done), token.
 */

import { EngineError } from "./errors.js";
import { fileSize, t } from "./texts.js";

const CAN = { identify: true, inspect: true, compare: true, localize: true, enroll: true, report: true };

/** `askToken()` gives the service's token, or null if nobody wants to type it. */
export async function createEngine({ base, askToken = async () => null, token = null }) {
  const call = caller(base, askToken, token);
  const held = { limits: null };
  const post = async (path, body, options, accept) => {
    refuseLarge(body, held.limits);
    return call("POST", path, { body, accept, ...options });
  };
  return {
    name: "http",
    can: CAN,
    atOnce: 3,
    cameras: (options = {}) => call("GET", withQuery("api/cameras", { bundle: options.bundle }), options).then(asJson),
    bundles: async (options = {}) => {
      const known = await call("GET", "api/bundles", options).then(asJson);
      held.limits = known.limits ?? null;
      return known;
    },
    identify: async (file, options = {}) => (await post("api/identify", form([file], options), options).then(asJson)).verdicts[0],
    inspect: (file, options = {}) => post("api/inspect", form([file], options), options).then(asJson),
    compare: (first, second, options = {}) => post("api/compare", form([first, second], options), options).then(asJson),
    localize: (file, options = {}) => post("api/localize", form([file], options), options).then(asJson),
    heatmap: (file, options = {}) => post("api/localize", form([file], options), options, "image/png"),
    enroll: (albums, options = {}) => post("api/enroll", albumForm(albums, options), options).then(asJson),
    report: (file, options = {}) => post("api/report", form([file], options), options, "*/*"),
  };
}

function form(files, { mode, bundle, format }) {
  const body = new FormData();
  for (const [name, value] of Object.entries({ mode, bundle, format })) if (value) body.append(name, value);
  for (const file of files) body.append("photos", file, file.name);
  return body;
}

function albumForm(albums, { name, only, bundle }) {
  const body = new FormData();
  for (const [key, value] of Object.entries({ name, bundle, only: only ? "true" : "" })) if (value) body.append(key, value);
  for (const { camera, files } of albums) {
    for (const file of files) {
      body.append("camera", camera);
      body.append("photos", file, file.name);
    }
  }
  return body;
}

/** Say at once what the service would say after the whole upload. */
function refuseLarge(body, limits) {
  if (!limits) return;
  const files = body.getAll("photos");
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > limits.upload)
    throw new EngineError("large", { detail: t("large.bytes", { size: fileSize(size), limit: fileSize(limits.upload) }) });
  if (files.length > limits.files)
    throw new EngineError("large", { detail: t("large.count", { count: files.length, limit: limits.files }) });
}

function withQuery(path, values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  return query.size ? `${path}?${query}` : path;
}

/** A function that sends one request, with the token once one is known; it asks for it where the service wants one. */
function caller(base, askToken, token) {
  const held = { token, asking: null };
  return async (method, path, options = {}) => {
    for (;;) {
      const used = held.token;
      try {
        return await send(method, new URL(path, base), { ...options, token: used });
      } catch (error) {
        if (error.status !== 401) throw error;
        if (held.token === used) held.token = await (held.asking ??= askToken(used !== null).finally(() => (held.asking = null)));
        if (held.token === null) throw error;
      }
    }
  };
}

/** One request, as XMLHttpRequest since only that tells how much of an upload is done. Gives a Blob. */
function send(method, url, { body = null, accept = "application/json", signal, token, onSent }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, url);
    request.responseType = "blob";
    request.setRequestHeader("Accept", accept);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (onSent) request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = () => (request.status < 300 ? resolve(request.response) : failure(request).then(reject));
    request.onerror = () => reject(new EngineError("network", { status: 0 }));
    request.onabort = () => reject(signal?.reason ?? new DOMException("", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    signal?.addEventListener("abort", stop);
    request.send(body);
  });
}

async function failure(request) {
  const detail = await request.response
    .text()
    .then((text) => JSON.parse(text).error)
    .catch(() => null);
  const retryAfter = Number.parseFloat(request.getResponseHeader("Retry-After"));
  return new EngineError("refused", {
    status: request.status,
    detail,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}

async function asJson(blob) {
  try {
    return JSON.parse(await blob.text());
  } catch {
    throw new EngineError("answer", { status: 0 });
  }
}
