// Keeps the files of an exported page, so that it works without a network once it was opened.

const [VERSION, FILES] = ["", []]; // camtrace.web.export writes them: a text that changes with the files, and their paths
const MINE = ` ${self.registration.scope}`; // other pages of this host keep files as well
const NAME = `camtrace-${VERSION}${MINE}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(clean().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

async function clean() {
  const old = (await caches.keys()).filter((name) => name.startsWith("camtrace-") && name.endsWith(MINE) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request) {
  const cache = await caches.open(NAME);
  const url = request.url.split(/[?#]/)[0];
  return (await cache.match(url.endsWith("/") ? `${url}index.html` : url)) ?? fetch(request);
}
