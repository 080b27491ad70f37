// Every page with its address. A page is loaded when it is opened; a new page is a new line here.
import type { Component } from 'svelte';
import type { IconName } from './components/Icon.svelte';
import type { Key } from './state/language.svelte';

export interface Route {
  path: string;
  load: () => Promise<{ default: Component }>;
  /** Where it stands in the navigation, if it does. */
  place?: { icon: IconName; label: Key };
  /** The page of the navigation that it belongs to. */
  below?: string;
}

export const ROUTES: readonly Route[] = [
  { path: '/', load: () => import('./pages/Home.svelte'), place: { icon: 'home', label: 'nav.home' } },
  { path: '/children', load: () => import('./pages/Children.svelte'), place: { icon: 'family', label: 'nav.children' } },
  { path: '/child', load: () => import('./pages/Child.svelte'), below: '/children' },
  { path: '/activity', load: () => import('./pages/Activity.svelte'), place: { icon: 'activity', label: 'nav.activity' } },
  { path: '/activity/overview', load: () => import('./pages/Overview.svelte'), below: '/activity' },
  { path: '/school', load: () => import('./pages/School.svelte'), place: { icon: 'school', label: 'nav.school' } },
  { path: '/system', load: () => import('./pages/System.svelte'), place: { icon: 'system', label: 'nav.system' } },
  { path: '/account', load: () => import('./pages/Account.svelte') },
];
