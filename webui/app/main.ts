// Begins: look and language first, so that nothing flickers, then who is signed in, then the page.
import './app.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { preferred, speak } from './state/language.svelte';
import { followLinks } from './state/route.svelte';
import { open } from './state/session.svelte';
import { repaint } from './state/theme.svelte';
import { keepOffline } from './state/offline';

repaint();
followLinks();
void open(); // asked at once; the language comes meanwhile
await speak(preferred());
const target = document.querySelector('#app');
if (target) {
  target.replaceChildren();
  mount(App, { target });
}
keepOffline();
