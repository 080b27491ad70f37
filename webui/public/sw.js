// The service worker: one page for when the gateway is out of reach, and notifications. It keeps nothing else, and the API never.
const KEPT = 'offline-1';
const PAGE = '/offline.html';
const STYLE = '/offline.css';

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll([PAGE, STYLE])));
  self.skipWaiting();
});

self.addEventListener('activate', (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  if (new URL(event.request.url).pathname === STYLE) {
    event.respondWith(caches.match(STYLE).then((kept) => kept ?? fetch(event.request)));
  }
  if (event.request.mode !== 'navigate') return; // everything else goes to the gateway as it is
  event.respondWith(fetch(event.request).catch(async () => (await caches.match(PAGE)) ?? Response.error()));
});

/** What is shown where the gateway's words do not arrive: browsers want something shown for every message. */
const UNREAD = {
  sq: { title: 'iSigurt', body: 'Diçka kërkon vëmendjen tuaj. Hapeni për ta parë.', lang: 'sq' },
  en: { title: 'iSigurt', body: 'Something needs your look. Open it to see what.', lang: 'en' },
};

/** What the gateway says (`daemon/src/alerts/text.rs`), else what is always true. */
function told(data) {
  try {
    const notice = data.json();
    if (notice.version === 1 && typeof notice.title === 'string' && typeof notice.body === 'string') return notice;
  } catch {
    // as if it said nothing
  }
  return UNREAD[self.navigator.language.split('-')[0]] ?? UNREAD.sq;
}

self.addEventListener('push', (event) => {
  const { title, body, lang, tag = 'alert', url = '/', urgent = false } = told(event.data);
  const shown = { body, lang, tag, renotify: true, requireInteraction: urgent === true, icon: '/icon-192.png', badge: '/icon-192.png', data: { url } };
  event.waitUntil(self.registration.showNotification(title, shown));
});

/** Opens the page that a notification is about, in a window that there is, else in a new one. */
async function show(path) {
  const url = new URL(path, self.location.origin);
  const address = url.origin === self.location.origin ? url.href : self.location.origin;
  for (const window of await self.clients.matchAll({ type: 'window' })) {
    const led = await window.navigate(address).catch(() => null); // not every window can be led; the next one
    if (led) return led.focus().catch(() => undefined);
  }
  return self.clients.openWindow(address);
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data?.url ?? '/'));
});
